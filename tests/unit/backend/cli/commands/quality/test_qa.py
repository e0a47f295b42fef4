"""What `nnloop qa` says, and what it notes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import ModuleType

import pytest

from backend.cli.commands.quality import qa
from backend.pipeline.doubts.tab import TITLE
from backend.store.models import VersionRow
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.cli.test_main import Call, call
from tests.unit.backend.pipeline.doubts.doubtful import N_LABELS, change, doubt, label_all, wrong

__all__ = ["call"]

QA: ModuleType = qa


@pytest.fixture
def doubted(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    """Thirty labels, of which those of tasks 5 and 9 are doubted, beside a Label Studio."""
    monkeypatch.setattr(QA, "connected", lambda *_: (app.context, PROJECT))
    label_all(app)
    doubt(app, of={5: [wrong()], 9: [wrong(0.7)]})
    return app


def listed(app: FakeApp) -> list[int]:
    tabs = [tab for tab in app.label_studio.tabs.values() if tab["title"] == TITLE]
    return [item["value"] for tab in tabs for item in tab["filters"]["items"]]


def tasks(out: str) -> list[int]:
    """In the first column of the table."""
    return [int(found) for found in re.findall(r"^ *(\d+)  ", out, re.MULTILINE)]


def test_doubtful_labels_are_listed_the_most_doubtful_first(doubted: FakeApp, call: Call) -> None:
    out = call("qa", "Carotid").out
    assert tasks(out) == [5, 9]
    found = json.loads(call("qa", "Carotid", "--limit", "1", "--json").out)
    assert (found["not_listed"], found["why_none"], found["remarks"]) == (1, "", [])
    assert "is sure of lumen" in out and f"1 of {N_LABELS}" in out
    assert "If it is right: nnloop qa 1 --right 5" in out
    assert listed(doubted) == [5, 9]


def test_what_is_right_leaves_list_and_tab(doubted: FakeApp, call: Call) -> None:
    call("qa", "Carotid")
    found = json.loads(call("qa", "Carotid", "--right", "5", "--json").out)
    assert [one["task_id"] for one in found["labels"]] == [9] == listed(doubted)
    assert found["found_right"] == 1
    out = " ".join(call("qa", "Carotid", "--limit", "1").out.split())
    assert "1 label was looked at and found right." in out
    out = call("qa", "Carotid", "--right", "9", "--right", "5", "--right", "17").out
    assert "Not doubted now, so nothing was noted: tasks 5, 17." in out
    assert "(2 were found right)" in " ".join(out.split())
    assert listed(doubted) == []


def test_a_task_that_does_not_exist_is_an_error_and_nothing_is_noted(
    doubted: FakeApp, call: Call
) -> None:
    for option in ("--right", "--not-right"):
        ended = call("qa", "Carotid", "--right", "5", option, "99")
        assert ended.code == 1
        assert "has no task 99; nothing was noted." in " ".join(ended.err.split())
    assert json.loads(call("qa", "Carotid", "--json").out)["found_right"] == 0


def test_what_was_said_to_be_right_can_be_taken_back(doubted: FakeApp, call: Call) -> None:
    call("qa", "Carotid", "--right", "5")
    assert listed(doubted) == [9]
    assert "Nothing to take back" not in call("qa", "Carotid", "--not-right", "5").out
    assert listed(doubted) == [5, 9]
    assert listed(doubted) == [5, 9] and call("qa", "Carotid").code == 0  # read again: it stays
    assert listed(doubted) == [5, 9]
    assert "Nothing to take back: task 5." in call("qa", "Carotid", "--not-right", "5").out
    # Saved again as it was counts as right too, and can be taken back as well.
    change(doubted, 5)
    assert [
        one["task_id"] for one in json.loads(call("qa", "Carotid", "--json").out)["labels"]
    ] == [9]
    call("qa", "Carotid", "--not-right", "5")
    call("qa", "Carotid")
    assert listed(doubted) == [5, 9]
    # The star of ground truth can only be taken away where it was given.
    change(doubted, 5, ground_truth=True)
    assert "ground truth" in call("qa", "Carotid", "--not-right", "5").out
    ended = call("qa", "Carotid", "--right", "9", "--not-right", "9")
    assert ended.code == 1 and "right and not right" in ended.err


def test_without_label_studio_what_was_read_last_is_listed(doubted: FakeApp, call: Call) -> None:
    doubted.label_studio.is_down = True
    ended = call("qa", "Carotid", "--right", "5")
    assert ended.code == 0
    assert "These are the labels as they were read last." in ended.out
    assert "The tab follows at the next reading." in ended.out
    assert tasks(ended.out) == [9]
    found = json.loads(call("qa", "Carotid", "--right", "5", "--limit", "1", "--json").out)
    assert "as they were read last." in found["remarks"][0]
    assert any("Not doubted now" in remark for remark in found["remarks"])
    assert (found["not_listed"], found["why_none"]) == (0, "")
    doubted.label_studio.is_down = False
    assert call("qa", "Carotid").code == 0
    assert listed(doubted) == [9]


def test_a_class_with_brackets_in_its_name_is_shown_as_it_is(
    doubted: FakeApp, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal took them for its own markup: an error, or nothing in the name's place."""
    monkeypatch.setattr("domain.doubts.NamedDoubt.sentence", property(lambda _: "[/wall] is drawn"))
    assert "[/wall] is drawn" in call("qa", "Carotid").out


def test_a_version_that_finds_a_class_badly_says_so_once(doubted: FakeApp, call: Call) -> None:
    assert "false alarms" not in call("qa", "Carotid").out
    with doubted.store.begin() as session:
        version = session.query(VersionRow).one()
        version.metrics = replace(version.metrics, oof_dice={"lumen": 0.9, "wall": 0.3})
    out = " ".join(call("qa", "Carotid").out.split())
    said = "finds some classes badly (held-out Dice: wall 0.30): expect false alarms."
    assert out.count(said) == 1
    assert "lumen 0.90" not in out

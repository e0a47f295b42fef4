"""What benchmarks measured goes on elsewhere, and only where it is the same that is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from active_learning.effort import Effort
from backend.replay.images.library import Library
from backend.replay.options import ReplayOptions
from backend.replay.replay import Replay
from backend.replay.results import Full
from backend.replay.rounds import Course, Round
from benchmarks.active.figures import Setting
from benchmarks.active.kept import keep, restore
from benchmarks.material.measured import FOLDER, Measured
from converters.bookkeeping.documents import write_document
from tests.unit.backend.replay.toy import CLASSES, toy_cases

OPTIONS = ReplayOptions(strategies=("lowest_score",), seeds=2, rounds=2)
LIBRARY = Library(CLASSES, 1, toy_cases(60), ())
SETTING = Setting("toys", "low")


def play(root: Path, *, n_rounds: int = 2) -> Replay:
    """Whole courses, and one of so many rounds."""
    replay = Replay(root, LIBRARY, OPTIONS)
    table = replay.table
    for strategy in OPTIONS.strategies:
        for seed in range(OPTIONS.seeds):
            rounds = tuple(
                Round(n, 8 * n, (f"case{n:03d}",), strategy, Effort(n_edited=3), 1.0, 2.0, 0.1 * n,
                      {"common": 0.1 * n, "rare": None})
                for n in range(1, 1 + (n_rounds if (strategy, seed) == ("random", 1) else 2))
            )  # fmt: skip
            file = table.course_file(root, strategy, seed)
            write_document(file, Course, Course(strategy, seed, rounds))
    write_document(table.full_file(root, 0), Full, Full(42, 0.7, {"common": 0.7}))
    return replay


def test_another_machine_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    here, measured = play(tmp_path / "here"), Measured(tmp_path / "kept" / "active.jsonl")
    keep(SETTING, here, measured)
    keep(SETTING, here, measured)
    assert len(list(measured.rows())) == len(OPTIONS.strategies) * 2 + 1, "nothing twice"
    assert "case0" not in measured.file.read_text(), "names of images stay where they are"
    there = Replay(tmp_path / "there", LIBRARY, OPTIONS)
    assert restore(SETTING, there, measured) == len(OPTIONS.strategies) * 2 + 1
    assert there.results().aubc() == here.results().aubc()
    assert there.results().full == here.results().full
    assert there.results().to_json() == here.results().to_json()
    assert restore(SETTING, there, measured) == 0


def test_what_is_under_way_is_not_kept_and_nothing_of_ones_own_is_overwritten(
    tmp_path: Path,
) -> None:
    here, measured = play(tmp_path / "here", n_rounds=1), Measured(tmp_path / "active.jsonl")
    keep(SETTING, here, measured)
    assert not list(measured.rows(strategy="random", seed=1))
    row = {"data": "toys", "key": here.table.key, "strategy": "random", "seed": 0}
    course = {"strategy": "random", "seed": 0, "rounds": []}
    measured.add({**row, "course": course})
    restore(SETTING, here, measured)
    assert here.results().rounds["random"][0][-1].n_labelled == 16


def test_other_rules_other_images_or_another_set_take_nothing(tmp_path: Path) -> None:
    measured = Measured(tmp_path / "active.jsonl")
    keep(SETTING, play(tmp_path / "here"), measured)
    longer = replace(OPTIONS, steps=OPTIONS.steps + 1)
    more = replace(LIBRARY, cases=toy_cases(61))
    for number, other in enumerate(
        (
            (SETTING, Replay(tmp_path / "a", LIBRARY, longer)),
            (SETTING, Replay(tmp_path / "b", more, OPTIONS)),
            (Setting("others", "low"), Replay(tmp_path / "c", LIBRARY, OPTIONS)),
        )
    ):
        assert restore(*other, measured) == 0, number


def test_a_line_that_was_cut_off_is_named(tmp_path: Path) -> None:
    measured = Measured(tmp_path / "some.jsonl")
    assert list(measured.rows()) == []
    measured.add({"a": 1})
    measured.add({"a": 2})
    assert list(measured.rows(a=2)) == [{"a": 2}]
    measured.file.write_text(measured.file.read_text()[:-5])
    with pytest.raises(ValueError, match=r"some\.jsonl, line 2"):
        list(measured.rows())


def test_what_goes_with_the_repository_can_be_read() -> None:
    for file in FOLDER.glob("*.jsonl"):
        for row in Measured(file).rows():
            assert json.dumps(row)
            assert row["data"]

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.pipeline.ensembles.choose import EnsembleReport
from domain.errors import SettingsError
from tests.fakes.app import PROJECT
from tests.unit.backend.cli.test_main import Call, call
from training.versions.metrics import Considered

__all__ = ["call"]

CONSIDERED = (
    Considered(("nnloop-v3", "nnloop-v4"), 0.8126),
    Considered(("nnloop-v4",), 0.8),
    Considered(("nnloop-v3",), 0.79),
)
MADE = EnsembleReport(CONSIDERED, 7, ("nnloop-v1 held no case out.",), "nnloop-e1", True, "fine")


def _answer(monkeypatch: pytest.MonkeyPatch, report: EnsembleReport) -> list[Any]:
    asked: list[Any] = []

    def make(_: object, project_id: int, names: list[str], *, progress: object) -> EnsembleReport:
        asked.append((project_id, list(names)))
        return report

    monkeypatch.setattr("backend.pipeline.ensembles.choose.make_ensemble", make)
    return asked


def test_the_table_and_what_came_of_it_are_printed(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _answer(monkeypatch, MADE)
    ended = call("models", "ensemble", "Carotid")
    assert ended.code == 0
    assert asked == [(PROJECT, [])]
    assert "Not considered: nnloop-v1 held no case out." in ended.out
    assert "7 held-out cases" in ended.out
    assert ended.out.index("nnloop-v3 + nnloop-v4  0.813") < ended.out.index("0.800")
    assert "nnloop-e1 serves: fine." in ended.out


def test_versions_are_passed_on_and_json_is_json(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _answer(monkeypatch, MADE)
    value = json.loads(call("models", "ensemble", "1", "nnloop-v3", "nnloop-v4", "--json").out)
    assert asked == [(PROJECT, ["nnloop-v3", "nnloop-v4"])]
    assert (value["version"], value["is_promoted"]) == ("nnloop-e1", True)
    assert value["considered"][0] == {"versions": ["nnloop-v3", "nnloop-v4"], "dice": 0.8126}


def test_it_is_said_when_none_is_made_or_it_does_not_serve(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "No pair is better than nnloop-v4 alone"
    _answer(monkeypatch, EnsembleReport(CONSIDERED, 7, (), "", False, reason))
    assert f"{reason}: no ensemble was made." in call("models", "ensemble", "1").out
    unknown = (Considered(("a",), None),)
    _answer(monkeypatch, EnsembleReport(unknown, 0, (), "nnloop-e1", False, "worse"))
    ended = call("models", "ensemble", "1", "a", "b")
    assert "nnloop-e1 does not serve: worse." in ended.out
    assert "held-out" not in ended.out


def test_a_refusal_ends_with_its_sentence(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> EnsembleReport:
        raise SettingsError("An ensemble is of 2 or more.", remedy="Name two.")

    monkeypatch.setattr("backend.pipeline.ensembles.choose.make_ensemble", refuse)
    ended = call("models", "ensemble", "1", "a")
    assert ended.code != 0
    assert "An ensemble is of 2 or more." in ended.err + ended.out

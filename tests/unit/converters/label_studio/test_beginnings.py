"""What an annotation began with."""

from __future__ import annotations

from typing import Any

import pytest

from converters.label_studio.beginnings import Beginning, Begun, Candidate, beginning_of
from converters.label_studio.corrections import Extent, extent_of
from converters.label_studio.predicted import as_predicted

NOTHING, OTHER = Begun(Beginning.NOTHING), Begun(Beginning.OTHER)


def _polygon(region_id: str, at: float = 20.0, **values: Any) -> dict[str, Any]:
    points = [[at, at], [at + 9, at], [at + 9, at + 9]]
    return {
        "id": region_id,
        "type": "polygonlabels",
        "value": {"points": points, "polygonlabels": ["wall"]},
        **values,
    }


OLD = as_predicted([_polygon("a"), _polygon("b", 50.0)])
NEW = as_predicted([_polygon("a"), _polygon("b", 60.0)])
DRAWN = _polygon("hand", 5.0, origin="manual")


def _begun(
    submitted: list[dict[str, Any]], *candidates: Candidate, has_parent: bool = False
) -> Begun:
    return beginning_of(submitted, candidates, has_parent=has_parent)


def test_shared_ids_say_which_prediction_whatever_else_is_said() -> None:
    new, old = Candidate(NEW, is_there=True), Candidate(OLD, is_there=False, is_gone=True)
    assert _begun(OLD, new, old) == Begun(Beginning.PREDICTION, 1)
    assert _begun([OLD[1], DRAWN], new, old) == Begun(Beginning.PREDICTION, 1)
    # The one region that both predicted: it was the newer one's.
    assert _begun([OLD[0]], new, old, has_parent=True) == Begun(Beginning.PREDICTION, 0)
    moved = {**OLD[1], "value": {**OLD[1]["value"], "points": [[1, 1], [2, 1], [2, 2]]}}
    assert _begun([moved], new, old) == Begun(Beginning.PREDICTION, 1)


def test_a_clean_page_although_a_prediction_was_there() -> None:
    assert _begun([DRAWN], Candidate(NEW, is_there=True)) == NOTHING
    assert _begun([], Candidate(NEW, is_there=True)) == NOTHING
    assert _begun([DRAWN]) == NOTHING
    # One that never went out.
    assert _begun([DRAWN], Candidate(NEW, is_there=False)) == NOTHING


def test_all_was_removed_or_nothing_was_predicted() -> None:
    new = Candidate(NEW, is_there=True)
    assert _begun([DRAWN], new, has_parent=True) == Begun(Beginning.PREDICTION, 0)
    empty = Candidate([], is_there=True)
    assert _begun([], empty, has_parent=True) == Begun(Beginning.PREDICTION, 0)


def test_what_may_have_been_forgotten_is_not_guessed() -> None:
    gone = Candidate(OLD, is_there=False, is_gone=True)
    assert _begun([DRAWN], gone) == OTHER
    assert _begun([], gone) == OTHER


@pytest.mark.parametrize("origin", ["prediction", "prediction-changed"])
def test_another_programs_prediction(origin: str) -> None:
    theirs = _polygon("x1", origin=origin)
    assert _begun([theirs], Candidate(NEW, is_there=True), has_parent=True) == OTHER
    assert _begun([theirs]) == OTHER
    assert _begun([], Candidate(NEW, is_there=False), has_parent=True) == OTHER


def test_an_annotation_that_was_made_of_predictions_in_another_project() -> None:
    assert _begun(OLD) == OTHER


def test_extent() -> None:
    box = {"id": "r", "type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 2, "height": 2}}
    assert extent_of([*OLD, box]) == Extent(3, 7)
    assert extent_of([]) == Extent()

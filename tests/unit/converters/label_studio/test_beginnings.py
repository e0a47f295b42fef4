"""What an annotation began with."""

from __future__ import annotations

from typing import Any

import pytest

from converters.label_studio.beginnings import (
    Beginning,
    Begun,
    Candidate,
    told_by_parent,
    told_by_regions,
)
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


def _told(submitted: list[dict[str, Any]], *predicted: list[dict[str, Any]]) -> Begun | None:
    return told_by_regions(submitted, predicted)


def test_shared_ids_say_which_prediction() -> None:
    assert _told(OLD, NEW, OLD) == Begun(Beginning.PREDICTION, 1)
    assert _told([OLD[1], DRAWN], NEW, OLD) == Begun(Beginning.PREDICTION, 1)
    # The one region that both predicted: it was the newer one's.
    assert _told([OLD[0]], NEW, OLD) == Begun(Beginning.PREDICTION, 0)
    moved = {**OLD[1], "value": {**OLD[1]["value"], "points": [[1, 1], [2, 1], [2, 2]]}}
    assert _told([moved], NEW, OLD) == Begun(Beginning.PREDICTION, 1)


def test_what_a_person_drew_does_not_say_it() -> None:
    assert _told([DRAWN], NEW) is None
    assert _told([], NEW, OLD) is None


GONE, THERE, PARENT = Candidate(is_gone=True), Candidate(), Candidate(is_parent=True)


@pytest.mark.parametrize(
    ("candidates", "has_parent", "expected"),
    [
        ([], False, NOTHING),
        ([THERE], False, NOTHING),  # a clean page although a prediction was there
        ([THERE, GONE], False, OTHER),  # the parent may have been forgotten
        ([THERE, PARENT], True, Begun(Beginning.PREDICTION, 1)),
        ([PARENT, GONE], True, Begun(Beginning.PREDICTION, 0)),
        ([THERE, GONE], True, Begun(Beginning.PREDICTION, 1)),  # it is not the one that is there
        ([GONE, GONE], True, OTHER),
        ([THERE], True, OTHER),  # another program's
        ([], True, OTHER),
    ],
)
def test_the_parent(candidates: list[Candidate], has_parent: bool, expected: Begun) -> None:
    assert told_by_parent(candidates, has_parent=has_parent) == expected


@pytest.mark.parametrize("origin", ["prediction", "prediction-changed"])
def test_another_programs_prediction(origin: str) -> None:
    theirs = _polygon("x1", origin=origin)
    assert _told([theirs], NEW) == OTHER
    assert _told([theirs]) == OTHER


def test_an_annotation_that_was_made_of_predictions_in_another_project() -> None:
    assert _told(OLD) == OTHER


def test_extent() -> None:
    box = {"id": "r", "type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 2, "height": 2}}
    assert extent_of([*OLD, box]) == Extent(3, 7)
    assert extent_of([]) == Extent()

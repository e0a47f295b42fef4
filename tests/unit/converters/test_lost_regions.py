from __future__ import annotations

from typing import Any

import pytest

from converters.label_config import parse_label_config
from converters.label_studio import annotation_to_label_map
from domain.annotation import Annotation
from domain.errors import AnnotationError
from tests.fakes.label_studio import CONFIG, polygon

FAR = polygon(at=150.0)
FLAT = {**polygon(), "id": "flat", "value": {"points": [[1, 1]], "polygonlabels": ["wall"]}}
SIZE_HW = (40, 48)


def _read(*result: dict[str, Any]) -> tuple[int, set[str]]:
    annotation = Annotation(id=5, task_id=7, result=list(result))
    label_map, notes = annotation_to_label_map(annotation, parse_label_config(CONFIG), SIZE_HW)
    return int((label_map > 0).sum()), {note.reason for note in notes}


@pytest.mark.parametrize("result", [[FAR], [FLAT], [FAR, FLAT]])
def test_regions_that_become_nothing_are_no_empty_annotation(result: list[dict[str, Any]]) -> None:
    with pytest.raises(AnnotationError, match="none that covers a pixel") as caught:
        _read(*result)
    assert caught.value.reason == "regions_lost"


def test_what_is_left_counts_and_what_is_lost_is_noted() -> None:
    n_px, reasons = _read(FAR, FLAT, polygon())
    assert n_px > 0
    assert reasons == {"outside_image", "degenerate_polygon"}


def test_submitted_empty_is_empty() -> None:
    assert _read() == (0, set())

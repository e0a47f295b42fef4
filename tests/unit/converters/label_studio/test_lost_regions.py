from __future__ import annotations

from typing import Any

import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
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


TWO_IMAGES = """<View><Image name="image" value="$left"/><Image name="other" value="$right"/>
<PolygonLabels name="label" toName="image"><Label value="wall"/></PolygonLabels>
<PolygonLabels name="label2" toName="other"><Label value="wall"/></PolygonLabels>
<Rectangle name="crop" toName="image"/></View>"""


def _lost(entry: dict[str, Any], xml: str = TWO_IMAGES) -> AnnotationError:
    annotation = Annotation(id=5, task_id=7, result=[entry])
    with pytest.raises(AnnotationError) as caught:
        annotation_to_label_map(annotation, parse_label_config(xml), SIZE_HW)
    return caught.value


def test_regions_of_another_interface_are_no_empty_annotation() -> None:
    error = _lost(polygon() | {"from_name": "an old name"})
    assert error.reason == "regions_lost"
    assert "'an old name'" in str(error)
    assert "labelling interface" in error.remedy


@pytest.mark.parametrize("lost", [{"to_name": "other"}, {"to_name": None}])
def test_regions_of_another_image_alone_say_nothing_of_this_one(lost: dict[str, Any]) -> None:
    # JSON_MIN drops to_name: there the control says it.
    entry = polygon() | {"from_name": "label2"} | lost
    assert _lost({k: v for k, v in entry.items() if v is not None}).reason == "regions_lost"


def test_what_a_control_without_classes_draws_is_no_label() -> None:
    value = {"x": 1, "y": 1, "width": 50, "height": 50, "rotation": 0}
    entry = polygon() | {"from_name": "crop", "type": "rectangle", "value": value}
    annotation = Annotation(id=5, task_id=7, result=[entry])
    label_map, notes = annotation_to_label_map(annotation, parse_label_config(TWO_IMAGES), SIZE_HW)
    assert not label_map.any()
    assert [note.reason for note in notes] == ["other_control"]


def test_a_choice_about_the_whole_image_beside_nothing_is_an_empty_annotation() -> None:
    choice = {"from_name": "q", "to_name": "image", "type": "choices", "value": {"choices": ["a"]}}
    assert _read(choice) == (0, {"other_control"})

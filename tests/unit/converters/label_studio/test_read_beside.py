"""Labels that stand beside shapes, and those of two controls."""

import itertools
from typing import Any

import numpy as np
import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from domain.errors import AnnotationError
from tests.unit.converters.label_studio.drawn_regions import (
    BOX,
    LABELS_CONFIG,
    POLYGON,
    TWO_LABELS,
    TWO_POLYGONS,
    annotation,
    label_map_of,
    pair,
    region,
    two_labels,
)


def test_labels_beside_shapes() -> None:
    choice = {"id": "a", "from_name": "sharp", "to_name": "image", "type": "choices"}
    result = [
        *pair("a", "lumen", POLYGON, "polygon"),
        choice | {"value": POLYGON | {"choices": ["yes"]}},
        *reversed(pair("b", "wall", BOX, "rectangle")),
    ]
    label_map, reasons = label_map_of(result, LABELS_CONFIG, (4, 8))
    assert label_map.tolist() == [[1] * 4 + [2] * 4] * 2 + [[1] * 4 + [0] * 4] * 2
    assert reasons == ["other_control"]


def test_labels_beside_shapes_that_miss_their_partner() -> None:
    (shape,) = pair("a", None, POLYGON, "polygon")
    with pytest.raises(AnnotationError, match="has no label") as caught:
        label_map_of([shape], LABELS_CONFIG, (4, 8))
    assert caught.value.reason == "unknown_label"
    # Scripts give the label with the shape, or only the entry with the label.
    with_label = shape | {"value": POLYGON | {"labels": ["wall"]}}
    assert (label_map_of([with_label], LABELS_CONFIG, (4, 8))[0][:, :4] == 2).all()
    only_label = pair("a", "wall", POLYGON, "polygon")[1]
    assert (label_map_of([only_label], LABELS_CONFIG, (4, 8))[0][:, :4] == 2).all()
    no_shape = only_label | {"id": "b", "value": {"labels": ["wall"]}}
    assert label_map_of([with_label, no_shape], LABELS_CONFIG, (4, 8))[1] == ["no_shape"]


def test_json_min_joins_labels_and_shapes_again() -> None:
    frame = {"original_width": 8, "original_height": 4}
    row = {
        "image": "a.png",
        "id": 3,
        "poly": [POLYGON | frame, POLYGON | frame | {"points": [[50, 50], [100, 50], [100, 100]]}],
        "label": [
            POLYGON | frame | {"labels": ["lumen"]},
            POLYGON | frame | {"points": [[50, 50], [100, 50], [100, 100]], "labels": ["wall"]},
        ],
        "annotator": 1,
        "annotation_id": 9,
    }
    (task,) = tasks_from_export([row])
    label_map, notes = annotation_to_label_map(task.annotations[0], LABELS_CONFIG, (4, 8))
    assert notes == ()
    assert (label_map[:, :4] == 1).all()
    assert set(np.unique(label_map[:, 4:])) == {0, 2}


@pytest.mark.parametrize("with_shape", [True, False])
@pytest.mark.parametrize("with_types", [True, False])
def test_of_two_labels_controls_the_first_counts(with_shape: bool, with_types: bool) -> None:
    for order in itertools.permutations(two_labels(with_shape=with_shape)):
        result = [{k: v for k, v in e.items() if k != "type" or with_types} for e in order]
        label_map, notes = annotation_to_label_map(annotation(*result), TWO_LABELS, (4, 8))
        assert (label_map[:, :4] == 2).all()
        assert [note.reason for note in notes] == ["extra_label"]
        assert "'cyst'" in notes[0].message
        assert "'blurry'" in notes[0].message


def test_a_label_of_the_second_control_counts_where_the_first_gives_none() -> None:
    shape, _, quality = two_labels()
    for order in ([shape, quality], [quality, shape]):
        label_map, reasons = label_map_of(order, TWO_LABELS, (4, 8))
        assert (label_map[:, :4] == 4).all()
        assert reasons == []


def test_the_first_control_decides_for_each_shape_alone() -> None:
    shape, organ, quality = two_labels()
    box = {"id": "b", "from_name": "box", "type": "rectangle", "value": BOX}
    box_quality = {"id": "b", "from_name": "quality", "type": "labels"}
    result = [quality, box_quality | {"value": BOX | {"labels": ["sharp"]}}, box, organ, shape]
    label_map, reasons = label_map_of(result, TWO_LABELS, (4, 8))
    assert label_map.tolist() == [[2] * 4 + [3] * 4] * 2 + [[2] * 4 + [0] * 4] * 2
    assert reasons == ["extra_label"]


@pytest.mark.parametrize("ids", [("a", "a", "b"), (7, "7", "b")])
def test_of_a_shape_that_two_controls_labelled_the_first_counts(ids: tuple[Any, ...]) -> None:
    shape: dict[str, Any] = POLYGON
    other = {"points": [[50, 0], [100, 0], [100, 100], [50, 100]]}
    entries = [
        {
            "id": region_id,
            "from_name": name,
            "type": "polygonlabels",
            "value": value | {"polygonlabels": [label]},
        }
        for region_id, (name, label, value) in zip(
            ids,
            [
                ("organ", "lesion", shape),
                ("quality", "blurry", shape),
                ("quality", "blurry", other),
            ],
            strict=True,
        )
    ]
    for order in itertools.permutations(entries):
        label_map, reasons = label_map_of(list(order), TWO_POLYGONS, (4, 8))
        assert label_map.tolist() == [[1] * 4 + [2] * 4] * 4
        assert reasons == ["extra_label"]


def test_an_unknown_label_of_the_control_that_counts_is_an_error() -> None:
    shape, organ, quality = two_labels()
    gone = organ | {"value": POLYGON | {"labels": ["polyp"]}}
    with pytest.raises(AnnotationError, match="'polyp'") as caught:
        label_map_of([quality, gone, shape], TWO_LABELS, (4, 8))
    assert caught.value.reason == "unknown_label"


def test_labels_beside_a_control_with_labels_of_its_own() -> None:
    config = parse_label_config(
        """<View><Image name="image" value="$image"/>
        <PolygonLabels name="label" toName="image"><Label value="lumen"/></PolygonLabels>
        <Labels name="quality" toName="image"><Label value="sharp"/></Labels>
        <Rectangle name="box" toName="image"/></View>"""
    )
    quality: dict[str, Any] = {
        "id": "r1",
        "from_name": "quality",
        "to_name": "image",
        "type": "labels",
    }
    quality["value"] = POLYGON | {"labels": ["sharp"]}
    for result in ([region(), quality], [quality, region()]):
        label_map, notes = annotation_to_label_map(annotation(*result), config, (4, 8))
        assert (label_map[:, :4] == 1).all()
        assert [note.reason for note in notes] == ["extra_label"]
        assert "'sharp'" in notes[0].message


def test_two_controls_are_one_group() -> None:
    config = parse_label_config(
        """<View><Image name="image" value="$image"/>
        <PolygonLabels name="label" toName="image"><Label value="lumen"/></PolygonLabels>
        <RectangleLabels name="box" toName="image"><Label value="wall"/><Label value="lumen"/>
        </RectangleLabels></View>"""
    )
    box = region(from_name="box", type="rectanglelabels", value=BOX | {"rectanglelabels": ["wall"]})
    label_map, reasons = label_map_of([region(), box | {"id": "b"}], config, (4, 8))
    assert label_map[0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert reasons == []


def test_a_keypoint_can_be_left_out() -> None:
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><KeyPointLabels name="label" toName="image">'
        '<Label value="lumen"/></KeyPointLabels></View>'
    )
    value = {"x": 50, "y": 50, "width": 50, "keypointlabels": ["lumen"]}
    point = region(type="keypointlabels", value=value)
    assert label_map_of([point], config, (8, 8))[0].sum() == 12  # a disc of 4 pixels
    label_map, reasons = label_map_of([point], config, (8, 8), keypoint="leave_out")
    assert not label_map.any()
    assert reasons == ["keypoint"]

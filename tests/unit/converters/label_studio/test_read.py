"""Annotations become label maps."""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map, annotation_to_shapes
from converters.painting.rasterize import polygons_to_label_map
from domain.errors import AnnotationError, LabelConfigError
from domain.geometry import Polygon
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.label_studio.drawn_regions import (
    LEFT_HALF,
    annotation,
    drawn_on,
    label_map_of,
    region,
)


def test_percent_to_pixels_and_painting_order() -> None:
    over = region([[25, 0], [100, 0], [100, 50], [25, 50]], "wall")
    label_map, left_out = annotation_to_label_map(annotation(region(), over), CONFIG, (4, 8))
    assert label_map.tolist() == [[1, 1, 2, 2, 2, 2, 2, 2]] * 2 + [[1, 1, 1, 1, 0, 0, 0, 0]] * 2
    assert left_out == ()


def test_submitted_empty_is_background() -> None:
    label_map, left_out = annotation_to_label_map(annotation(), CONFIG, (3, 2))
    assert label_map.tolist() == [[0, 0]] * 3
    assert left_out == ()


def test_points_beyond_the_image_stay_where_they_are() -> None:
    points = [[-20, -20], [50, -20], [50, 130], [-20, 130]]
    ((_, polygon),), _ = annotation_to_shapes(annotation(region(points)), CONFIG, (4, 8))
    assert isinstance(polygon, Polygon)
    assert polygon.exterior.tolist() == [[-1.6, -0.8], [4, -0.8], [4, 5.2], [-1.6, 5.2]]


@pytest.mark.parametrize(
    "points",
    [
        [[50, 50], [150, 50], [50, 150]],  # a corner of the image cuts the long side
        [[-70, 30], [40, -60], [130, 45], [60, 180]],
        [[-150, -140], [240, -120], [230, 245], [-120, 230]],  # all of it
        [[20, -90], [80, -90], [80, 190], [60, 190], [60, 20], [40, 20], [40, 190], [20, 190]],
    ],
)
def test_a_polygon_is_cut_at_the_border(points: list[list[float]]) -> None:
    size_hw = (30, 40)
    label_map, notes = annotation_to_label_map(annotation(region(points)), CONFIG, size_hw)
    place = [((200 + x) / 100 * 40 * 16, (200 + y) / 100 * 30 * 16) for x, y in points]
    share = drawn_on(5, size_hw, lambda draw: draw.polygon(place, fill=1))
    assert notes == ()
    assert label_map[share > 0.9].all()
    assert not label_map[share < 0.1].any()
    assert abs(label_map.sum() - share.sum()) < 12


def test_huge_coordinates_cost_nothing() -> None:
    far = 9e8
    ring = [[50 - far, 50], [50, 50 - far], [50 + far, 50], [50, 50 + far]]
    vertices = [{"id": str(i), "x": x, "y": y} for i, (x, y) in enumerate(ring)]
    rectangle = {"x": -far, "y": -far, "width": far, "height": far, "rotation": 30}
    ellipse = {"x": 50, "y": 50, "radiusX": far, "radiusY": far, "rotation": 10}
    keyhole = [*ring, ring[0], [40, 40], [40, 60], [60, 60], [60, 40], [40, 40]]
    config = parse_label_config(
        '<View><Image name="image" value="$image"/>'
        + "".join(
            f'<{tag} name="{tag.lower()}" toName="image"><Label value="lumen"/></{tag}>'
            for tag in ("PolygonLabels", "RectangleLabels", "EllipseLabels", "VectorLabels")
        )
        + "</View>"
    )
    values: dict[str, list[dict[str, Any]]] = {
        "polygonlabels": [{"points": ring}, {"points": keyhole}],
        "vectorlabels": [
            {"vertices": vertices, "closed": True},
            {"vertices": vertices, "closed": False},
        ],
        "rectanglelabels": [rectangle],
        "ellipselabels": [ellipse],
    }
    entries = [
        region(id=f"{kind}{i}", type=kind, from_name=kind, value={**value, kind: ["lumen"]})
        for kind, several in values.items()
        for i, value in enumerate(several)
    ]
    started = time.monotonic()
    shapes, notes = annotation_to_shapes(annotation(*entries), config, (300, 400))
    painted = [polygons_to_label_map([shape], (300, 400)) for shape in shapes]
    assert time.monotonic() - started < 3
    assert painted[0].all()
    assert not painted[1][150, 200]
    assert painted[1][10, 10]
    # Those that cover the whole image hide each other.
    assert {note.reason for note in notes} <= {"outside_image", "hidden_region"}


@pytest.mark.parametrize("x", [float("nan"), float("inf"), 1e300, None, "5", True])
def test_a_coordinate_that_is_no_number_is_the_fault_of_its_task(x: object) -> None:
    with pytest.raises(AnnotationError) as caught:
        annotation_to_shapes(annotation(region([[0, 0], [x, 5], [5, 5]])), CONFIG, (4, 8))
    assert (caught.value.task_id, caught.value.reason) == (7, "malformed_region")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("polygonlabels", {"points": [[100, 10], [150, 10], [150, 50]]}),
        ("rectanglelabels", {"x": 100, "y": 10, "width": 20, "height": 20, "rotation": 0}),
        ("rectanglelabels", {"x": -5, "y": 10, "width": 5, "height": 20, "rotation": 0}),
        ("ellipselabels", {"x": 120, "y": 50, "radiusX": 20, "radiusY": 20}),
        ("rectanglelabels", {"x": 120, "y": -20, "width": 30, "height": 10, "rotation": 45}),
    ],
)
def test_what_only_touches_the_border_lies_outside(kind: str, value: dict[str, Any]) -> None:
    config = parse_label_config(
        f'<View><Image name="image" value="$image"/><{kind} name="label" toName="image">'
        f'<Label value="lumen"/></{kind}></View>'
    )
    entry = region(type=kind, value={**value, kind: ["lumen"]})
    shapes, notes = annotation_to_shapes(annotation(entry), config, (30, 40))
    assert shapes == ()
    assert [note.reason for note in notes] == ["outside_image"]


@pytest.mark.parametrize(
    "page", [1, 2, 17, -1, "1", "x", pytest.param(10**6000, id="huge"), [0], {}, True, 0.5]
)
def test_a_region_of_another_page_is_left_out(page: object) -> None:
    first = region(id="r0", item_index=0)
    other = region([[60, 60], [90, 60], [90, 90]], item_index=page)
    label_map, notes = annotation_to_label_map(annotation(first, other), CONFIG, (4, 8))
    assert label_map.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 4
    assert [(note.reason, note.region_id) for note in notes] == [("other_page", "r1")]


def test_the_page_is_named_as_people_count() -> None:
    _, (note,) = annotation_to_shapes(
        annotation(region(id="r0"), region(item_index=3)), CONFIG, (4, 8)
    )
    assert "page 4" in note.message


def test_an_annotation_of_other_pages_is_no_true_negative() -> None:
    with pytest.raises(AnnotationError, match="other pages") as caught:
        annotation_to_shapes(annotation(region(item_index=1)), CONFIG, (4, 8))
    assert caught.value.reason == "other_page"
    # What is said about a page in words is no region.
    choice = {"from_name": "quality", "type": "choices", "value": {"choices": ["good"]}}
    shapes, notes = annotation_to_shapes(annotation(choice | {"item_index": 1}), CONFIG, (4, 8))
    assert shapes == ()
    assert [note.reason for note in notes] == ["other_control"]


@pytest.mark.parametrize("rotation", [0, 90, 270])
def test_image_rotation_moves_no_point(rotation: int) -> None:
    turned = annotation(region(image_rotation=rotation))
    label_map, _ = annotation_to_label_map(turned, CONFIG, (4, 8))
    assert label_map.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 4


def test_percentages_scale_with_the_image() -> None:
    label_map, _ = annotation_to_label_map(annotation(region()), CONFIG, (40, 80))
    assert label_map[:, :40].all()
    assert not label_map[:, 40:].any()


def test_without_original_size() -> None:
    bare = {k: v for k, v in region().items() if not k.startswith("original")}
    assert len(annotation_to_shapes(annotation(bare), CONFIG, (4, 8))[0]) == 1


@pytest.mark.parametrize(
    ("entry", "reason", "words"),
    [
        (region(from_name="quality", type="choices"), "other_control", "'quality'"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "other_control", "'relation'"),
        (region([]), "degenerate_polygon", "0 points"),
        (region([[1, 1]]), "degenerate_polygon", "1 point and"),
        (region([[1, 1], [1, 1], [1, 1]]), "degenerate_polygon", "3 points"),
        # clipped flat against the border
        (region([[1, 101], [50, 120], [90, 105]]), "outside_image", "outside"),
        (region(to_name="other"), "other_image", "'other'"),
        (region(is_positive=False), "negative_prompt", "negative"),
    ],
)
def test_left_out(entry: dict[str, Any], reason: str, words: str) -> None:
    config = dataclasses.replace(CONFIG, image_names=("image", "other"))
    shapes, (left_out,) = annotation_to_shapes(annotation(entry), config, (400, 800))
    assert shapes == ()
    assert (left_out.task_id, left_out.reason) == (7, reason)
    assert words in left_out.message


def test_extra_labels_are_noted_and_the_first_counts() -> None:
    both = region(value={"points": LEFT_HALF, "polygonlabels": ["wall", "lumen"]})
    ((class_index, _),), (left_out,) = annotation_to_shapes(annotation(both), CONFIG, (4, 8))
    assert class_index == 2
    assert (left_out.reason, left_out.region_id) == ("extra_label", "r1")


@pytest.mark.parametrize(
    ("entry", "reason", "words"),
    [
        (region(label="plaque"), "unknown_label", "Task 7: region 'r1'.*'plaque'"),
        (region(value={"points": LEFT_HALF}), "unknown_label", "has no label"),
        (region(original_width=4, original_height=8), "size_mismatch", "4 x 8"),
        (region(original_width=0), "malformed_region", "size 0 x 4"),
        (region(original_width=10**400), "malformed_region", "huge integer"),
        (region(original_height="four"), "malformed_region", "8 x 'four'"),
        ("a string", "malformed_region", "number 1.*str"),
        (region(value=None), "malformed_region", "no value"),
        (region(type="brushlabels"), "malformed_region", "'brushlabels'"),
        (region(points=None), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3]]), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3, None]]), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3, "4"]]), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3, True]]), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3, float("nan")]]), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3, float("inf")]]), "malformed_region", "number pairs"),
        (region(points=[[1, 2], [3, 10**400]]), "malformed_region", "number pairs"),
        (
            region(value={"points": LEFT_HALF, "polygonlabels": "lumen"}),
            "malformed_region",
            "no list of names",
        ),
    ],
)
def test_refusals_name_task_and_region(entry: Any, reason: str, words: str) -> None:
    with pytest.raises(AnnotationError, match=words) as caught:
        annotation_to_label_map(annotation(entry), CONFIG, (40, 80))
    assert (caught.value.task_id, caught.value.reason) == (7, reason)
    assert caught.value.remedy


def test_a_skip_is_no_label_map() -> None:
    with pytest.raises(AnnotationError, match="skip") as caught:
        annotation_to_label_map(annotation(was_cancelled=True), CONFIG, (4, 8))
    assert caught.value.reason == "skipped"


def test_a_square_image_is_never_turned() -> None:
    square = region(original_width=100, original_height=100)
    assert len(annotation_to_shapes(annotation(square), CONFIG, (50, 50))[0]) == 1


@pytest.mark.parametrize(
    ("points", "pixels"),
    [
        ([[12.5, 25], [62.5, 25]], [(1, 1), (1, 2), (1, 3), (1, 4)]),  # a line along a row
        ([[12.5, 5], [12.5, 60], [12.5, 5]], [(0, 1), (1, 1), (2, 1)]),  # there and back
        ([[3, 3], [9, 9], [3, 9]], [(0, 0)]),  # a triangle in the corner of one pixel
        ([[13, 30], [13, 31], [60, 30.5]], [(1, 1), (1, 2), (1, 3), (1, 4)]),  # a needle
    ],
)
def test_thin_polygons_mark_the_pixels_they_cross(
    points: list[list[float]], pixels: list[tuple[int, int]]
) -> None:
    label_map, (note,) = annotation_to_label_map(annotation(region(points)), CONFIG, (4, 8))
    assert list(zip(*np.nonzero(label_map), strict=True)) == pixels
    assert (note.reason, note.region_id) == ("thin_marked", "r1")
    assert f"pixels it crosses ({len(pixels)})" in note.message


@pytest.mark.parametrize("closed", [{}, {"closed": False}, {"closed": None}])
def test_a_ring_is_closed_whatever_it_says(closed: dict[str, Any]) -> None:
    value = {"points": LEFT_HALF, "polygonlabels": ["lumen"]} | closed
    label_map, reasons = label_map_of([region(value=value)], CONFIG, (4, 8))
    assert (label_map[:, :4] == 1).all()
    assert reasons == []


def test_a_self_crossing_ring_is_even_odd() -> None:
    twice = [*LEFT_HALF, *LEFT_HALF]  # walked round twice: even, so nothing
    star = [[0, 0], [100, 100], [100, 0], [0, 100]]
    assert label_map_of([region(twice)], CONFIG, (4, 8))[1] == ["thin_marked"]
    label_map, _ = label_map_of([region(star)], CONFIG, (40, 40))
    assert label_map[20, 0] == label_map[20, 39] == 1
    assert label_map[0, 20] == label_map[39, 20] == 0


def test_priority_is_painted_last() -> None:
    full = [[0, 0], [100, 0], [100, 100], [0, 100]]
    wall, lumen = region(full, "wall", id="w"), region(LEFT_HALF, id="l")
    for result in ([wall, lumen], [lumen, wall]):
        label_map, _ = label_map_of(result, CONFIG, (4, 8), priority=("lumen", "wall"))
        assert label_map.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]] * 4
        label_map, _ = label_map_of(result, CONFIG, (4, 8), priority=("wall",))
        assert (label_map == 2).all()
    with pytest.raises(LabelConfigError, match="'plaque'"):
        label_map_of([wall], CONFIG, (4, 8), priority=("plaque",))


def test_the_same_region_twice() -> None:
    other = [[50, 0], [100, 0], [100, 100], [50, 100]]
    label_map, reasons = label_map_of(
        [region(), region(), region(label="wall"), region(other, "wall")], CONFIG, (4, 8)
    )
    assert label_map.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]] * 4
    assert reasons == ["duplicate_region", "extra_label"]

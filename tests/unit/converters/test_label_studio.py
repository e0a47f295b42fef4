import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.label_config import parse_label_config
from converters.label_studio import (
    annotation_to_label_map,
    annotation_to_shapes,
    regions_to_result,
    validate_prediction,
)
from converters.rasterize import polygons_to_label_map
from converters.vectorize import label_map_to_regions
from domain.annotation import Annotation, Region
from domain.errors import AnnotationError
from domain.geometry import LabelMap, Polygon
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.shapes import blobs, label_maps, size_of

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
LEFT_HALF = [[0, 0], [50, 0], [50, 100], [0, 100]]


def region(points: Any = LEFT_HALF, label: str = "lumen", **changes: Any) -> dict[str, Any]:
    value = {"points": points, "closed": True, "polygonlabels": [label]}
    return {
        "id": "r1",
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": 8,
        "original_height": 4,
        "image_rotation": 0,
        "value": value,
        "origin": "manual",
    } | changes


def annotation(*result: Any, **changes: Any) -> Annotation:
    return Annotation(id=5, task_id=7, result=list(result), **changes)


def test_percent_to_pixels_and_painting_order() -> None:
    over = region([[25, 0], [100, 0], [100, 50], [25, 50]], "wall")
    label_map, left_out = annotation_to_label_map(annotation(region(), over), CONFIG, (4, 8))
    assert label_map.tolist() == [[1, 1, 2, 2, 2, 2, 2, 2]] * 2 + [[1, 1, 1, 1, 0, 0, 0, 0]] * 2
    assert left_out == ()


def test_submitted_empty_is_background() -> None:
    label_map, left_out = annotation_to_label_map(annotation(), CONFIG, (3, 2))
    assert label_map.tolist() == [[0, 0]] * 3
    assert left_out == ()


def test_points_beyond_the_image_are_clipped() -> None:
    points = [[-20, -20], [50, -20], [50, 130], [-20, 130]]
    ((_, polygon),), _ = annotation_to_shapes(annotation(region(points)), CONFIG, (4, 8))
    assert polygon.exterior.tolist() == [[0, 0], [4, 0], [4, 4], [0, 4]]


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
        (region([[1, 1], [2, 2]]), "degenerate_polygon", "2 points"),
        (region([[1, 1], [2, 5], [1, 1]]), "degenerate_polygon", "3 points"),
        (region([[1, 1], [2, 2], [60, 60]]), "degenerate_polygon", "no area"),
        # clipped flat against the border
        (region([[1, 101], [50, 120], [90, 105]]), "degenerate_polygon", "no area"),
    ],
)
def test_left_out(entry: dict[str, Any], reason: str, words: str) -> None:
    shapes, (left_out,) = annotation_to_shapes(annotation(entry), CONFIG, (400, 800))
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
        (region(original_height="4"), "malformed_region", "8 x '4'"),
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


def round_trip(label_map: LabelMap, **how: Any) -> tuple[LabelMap, LabelMap]:
    """(painted from the regions, painted from what Label Studio would hold)."""
    size = size_of(label_map)
    regions = label_map_to_regions(label_map, [1, 2], **how)
    result = json.loads(json.dumps(regions_to_result(regions, CONFIG, size)))
    assert validate_prediction(CONFIG, result, score=0.5) == []
    here = polygons_to_label_map([(r.class_index, r.polygons[0]) for r in regions], size)
    return here, annotation_to_label_map(annotation(*result), CONFIG, size)[0]


@settings(max_examples=40)
@given(label_maps())
def test_mask_to_label_studio_to_mask_is_exact(label_map: LabelMap) -> None:
    _, there = round_trip(label_map, tolerance_px=0)
    np.testing.assert_array_equal(there, label_map)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(20, 200), st.integers(20, 200))
def test_simplified_polygons_keep_every_pixel_on_the_way(seed: int, h: int, w: int) -> None:
    # Their edges run exactly through pixel centres now and then: the hard case.
    here, there = round_trip(blobs(seed, (h, w), 2))
    np.testing.assert_array_equal(there, here)


def test_result_is_what_label_studio_stores() -> None:
    outer = np.array([[0, 0], [8, 0], [8, 4], [0, 4]], dtype=np.float64)
    inner = np.array([[2, 1], [4, 1], [4, 3], [2, 3]], dtype=np.float64)
    scored = Region("", 2, (Polygon(outer, (inner,)),), score=0.25)
    plain = Region("", 1, (Polygon(inner),))
    first, second = regions_to_result([scored, plain], CONFIG, (4, 8), score=0.75)
    assert first["value"]["polygonlabels"] == ["wall"]
    assert first["value"]["closed"] is True
    assert len(first["value"]["points"]) == 10  # one keyhole ring
    assert first["value"]["points"][0] == [0.0, 0.0]
    assert (first["score"], second["score"]) == (0.25, 0.75)
    assert {k: second[k] for k in ("from_name", "to_name", "type")} == {
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
    }
    assert (second["original_width"], second["original_height"]) == (8, 4)
    assert second["image_rotation"] == 0
    assert second["value"]["points"] == [[25.0, 25.0], [50.0, 25.0], [50.0, 75.0], [25.0, 75.0]]
    assert first["id"] != second["id"]
    assert [first, second] == regions_to_result([scored, plain], CONFIG, (4, 8), score=0.75)
    assert "score" not in regions_to_result([plain], CONFIG, (4, 8))[0]


def test_a_class_the_configuration_lacks_is_a_fault_of_the_caller() -> None:
    with pytest.raises(KeyError):
        regions_to_result([_of_class(9)], CONFIG, (4, 8))


def _of_class(class_index: int) -> Region:
    ring = np.array([[0, 0], [2, 0], [2, 2]], dtype=np.float64)
    return Region("", class_index, (Polygon(ring),))


def test_validation_finds_what_an_import_would_drop() -> None:
    good = regions_to_result([_of_class(1)], CONFIG, (4, 8))
    assert validate_prediction(CONFIG, good, score=1.0) == []
    assert validate_prediction(CONFIG, [], score=0.0) == []
    assert validate_prediction(CONFIG, good, score=1.5)
    assert validate_prediction(CONFIG, good, score=float("nan"))
    assert validate_prediction(CONFIG, [good[0] | {"from_name": "other"}])
    unknown = good[0] | {"value": good[0]["value"] | {"polygonlabels": ["plaque"]}}
    assert "plaque" in validate_prediction(CONFIG, [unknown])[0]


def recorded(name: str) -> Any:
    path = SHARED / "label-studio" / "captures" / name
    if not path.exists():
        pytest.skip(f"the recorded requests are not beside the repository: {path}")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("name", "size_hw"),
    [
        ("PolygonLabels", (480, 640)),
        ("rotated_polygon", (480, 640)),
        ("exif6_polygon", (640, 480)),  # stored as 640 x 480
    ],
)
def test_polygons_drawn_in_a_browser(name: str, size_hw: tuple[int, int]) -> None:
    regions = recorded("regions_drawn_in_browser.json")[name]
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
        '<Label value="Lesion"/></PolygonLabels></View>'
    )
    shapes, left_out = annotation_to_shapes(annotation(*regions), config, size_hw)
    assert left_out == ()
    (_, polygon), *_ = shapes
    share = np.array(regions[0]["value"]["points"]) / 100
    np.testing.assert_allclose(polygon.exterior, share * [size_hw[1], size_hw[0]], atol=1e-6)
    if name == "exif6_polygon":
        with pytest.raises(AnnotationError, match="480 x 640"):
            annotation_to_shapes(annotation(*regions), config, (480, 640))

"""What the editor of a real Label Studio makes of regions, and how they are read."""

from __future__ import annotations

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map, annotation_to_shapes
from domain.annotation import Annotation
from domain.errors import AnnotationError
from domain.geometry import Polygon
from tests.golden import RECORDED, recorded

SIZE_HW = (480, 640)
PIXELS = SIZE_HW[0] * SIZE_HW[1]

# Pixels, from where the hand was told to go and what was pushed.
AREAS = {
    "drawn_polygon": 0.4 * 0.4 * PIXELS,
    "drawn_rectangle": 0.3 * 0.3 * PIXELS,
    "drawn_ellipse": np.pi * 0.2 * 0.3 * PIXELS,
    "drawn_keypoint": 1,
    # three sides of the polygon's square, 3 px wide, with round ends and corners
    "drawn_vector": 3 * 0.4 * (2 * 640 + 480) + np.pi * 1.5**2,
    "submitted_keyhole": (0.4 * 0.4 - 0.2 * 0.2) * PIXELS,
    "submitted_rectangle_rotated": 0.3 * 0.4 * PIXELS,
    "submitted_ellipse_rotated": np.pi * 0.3 * 0.1 * PIXELS,
    "submitted_vector_curved": np.pi * 0.25 * 0.25 * PIXELS,
}
# Their pixels are counted by others, see below.
PAINTED = ("drawn_brush", "drawn_bitmask")
POLYGONS = {
    "drawn_polygon": (480, 640),
    "drawn_polygon_turned": (480, 640),
    "drawn_polygon_sideways": (640, 480),  # stored as 640 x 480
}


def n_pixels(name: str) -> int:
    found = recorded(f"regions/{name}")
    config = parse_label_config(found["label_config"])
    annotation = Annotation(5, 7, found["result"])
    label_map, notes = annotation_to_label_map(annotation, config, SIZE_HW)
    assert notes == ()
    return int(np.count_nonzero(label_map))


@pytest.mark.parametrize("name", POLYGONS)
def test_polygons_drawn_in_a_browser(name: str) -> None:
    found, size_hw = recorded(f"regions/{name}"), POLYGONS[name]
    config, annotation = (
        parse_label_config(found["label_config"]),
        Annotation(5, 7, found["result"]),
    )
    shapes, left_out = annotation_to_shapes(annotation, config, size_hw)
    assert left_out == ()
    (_, polygon), *_ = shapes
    assert isinstance(polygon, Polygon)
    share = np.array(found["result"][0]["value"]["points"]) / 100
    np.testing.assert_allclose(polygon.exterior, share * [size_hw[1], size_hw[0]], atol=1e-6)
    if name == "drawn_polygon_sideways":
        with pytest.raises(AnnotationError, match="480 x 640"):
            annotation_to_shapes(annotation, config, (480, 640))
    if name != "drawn_polygon_turned":  # there the hand was led by the view, not by the image
        np.testing.assert_allclose(100 * share, found["hand"], atol=0.2)


@pytest.mark.parametrize(("name", "area"), AREAS.items())
def test_regions_of_the_editor_have_their_areas(name: str, area: float) -> None:
    assert n_pixels(name) == pytest.approx(area, rel=0.01, abs=0)


def test_a_painted_region_has_the_pixels_that_others_count() -> None:
    """Those of at least half opacity: in the SDK's own decoding, and in the browser's."""
    (brush,) = recorded("regions/drawn_brush")["result"]
    alpha = decode_rle(brush["value"]["rle"]).reshape(*SIZE_HW, 4)[..., 3]
    assert n_pixels("drawn_brush") == np.count_nonzero(alpha >= 128) > 1000
    bitmask = recorded("regions/drawn_bitmask")
    assert n_pixels("drawn_bitmask") == bitmask["browser_pixels"] > 1000


def test_what_is_submitted_unchanged_comes_back_as_it_was_pushed() -> None:
    paths = sorted((RECORDED / "regions").glob("submitted_*.json"))
    assert paths
    for path in paths:
        found = recorded(f"regions/{path.stem}")
        (region,) = found["result"]
        wanted = found["pushed"] | {"origin": "prediction"}
        if path.stem != "submitted_vector_curved":
            assert region == wanted
            continue
        # The editor computes a vector's points anew, in percent of the canvas.
        assert region | {"value": None} == wanted | {"value": None}
        vertices, pushed = region["value"].pop("vertices"), wanted["value"].pop("vertices")
        assert region["value"] == wanted["value"]
        for vertex, before in zip(vertices, pushed, strict=True):
            for key in ("controlPoint1", "controlPoint2"):
                assert vertex.pop(key) == pytest.approx(before.pop(key), rel=1e-9)
            assert vertex == before


def test_every_recorded_region_is_read() -> None:
    names = {path.stem for path in (RECORDED / "regions").glob("*.json")}
    assert names == {*AREAS, *POLYGONS, *PAINTED}

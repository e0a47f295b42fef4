import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.write import regions_to_result, validate_prediction
from converters.outlines.vectorize import vectorize
from converters.painting.rasterize import polygon_to_mask, polygons_to_label_map
from domain.annotation import OVER_BUDGET, Annotation, Region
from domain.geometry import LabelMap, Polygon
from domain.labels import LabelConfig
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.shapes import blobs, label_maps, size_of

OUTER = np.array([[0, 0], [8, 0], [8, 4], [0, 4]], dtype=np.float64)
INNER = np.array([[2, 1], [4, 1], [4, 3], [2, 3]], dtype=np.float64)
TILTED = np.array([[30, 10], [60, 30], [50, 45], [20, 25]], dtype=np.float64)
KINDS = ("Polygon", "Brush", "Bitmask", "Rectangle", "Ellipse", "Vector", "KeyPoint")


def config_of(*tags: str, apart: bool = False) -> LabelConfig:
    labels = '<Label value="lumen"/><Label value="the wall" alias="wall" background="#00aaff"/>'
    controls = "".join(
        f'<{tag} name="{tag}" toName="image"/>'
        if apart
        else f'<{tag}Labels name="{tag}" toName="image">{labels}</{tag}Labels>'
        for tag in tags
    )
    if apart:
        controls += f'<Labels name="names" toName="image">{labels}</Labels>'
    return parse_label_config(f'<View><Image name="image" value="$image"/>{controls}</View>')


def read_back(result: list[dict[str, Any]], config: LabelConfig, size: tuple[int, int]) -> LabelMap:
    stored = json.loads(json.dumps(result))
    assert validate_prediction(config, stored, score=0.5) == []
    return annotation_to_label_map(Annotation(5, 7, stored), config, size)[0]


@settings(max_examples=40)
@given(label_maps())
def test_mask_to_label_studio_to_mask_is_exact(label_map: LabelMap) -> None:
    size = size_of(label_map)
    regions = vectorize(label_map, [1, 2], tolerance_px=0)
    back = read_back(regions_to_result(regions, CONFIG, size), CONFIG, size)
    np.testing.assert_array_equal(back, label_map)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(20, 200), st.integers(20, 200))
def test_simplified_polygons_keep_every_pixel_on_the_way(seed: int, h: int, w: int) -> None:
    # Their edges run exactly through pixel centres now and then: the hard case.
    label_map = blobs(seed, (h, w), 2)
    regions = vectorize(label_map, [1, 2])
    here = polygons_to_label_map([(r.class_index, r.polygons[0]) for r in regions], (h, w))
    back = read_back(regions_to_result(regions, CONFIG, (h, w)), CONFIG, (h, w))
    np.testing.assert_array_equal(back, here)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("kind", ["Polygon", "Brush", "Bitmask", "Vector"])
def test_these_kinds_give_the_very_pixels_back(kind: str, apart: bool) -> None:
    config, label_map = config_of(kind, apart=apart), blobs(4, (60, 80), 2)
    regions = vectorize(label_map, [1, 2], tolerance_px=0)
    result = regions_to_result(regions, config, (60, 80))
    np.testing.assert_array_equal(read_back(result, config, (60, 80)), label_map)


@pytest.mark.parametrize("kind", KINDS)
def test_both_spellings_and_the_stored_label_name(kind: str) -> None:
    region = Region("", 2, (Polygon(OUTER),), score=0.5)
    (entry,) = regions_to_result([region], config_of(kind), (10, 20))
    assert entry["type"] == f"{kind.lower()}labels"
    assert entry["value"][entry["type"]] == ["wall"]  # the alias
    drawn, labelled = regions_to_result([region], config_of(kind, apart=True), (10, 20))
    assert (drawn["type"], drawn["from_name"]) == (kind.lower(), kind)
    assert (labelled["type"], labelled["from_name"]) == ("labels", "names")
    assert labelled["value"] == drawn["value"] | {"labels": ["wall"]}
    assert drawn["id"] == labelled["id"]
    assert entry["score"] == drawn["score"] == labelled["score"] == 0.5


def test_a_tilted_rectangle_comes_back() -> None:
    config, size = config_of("Rectangle"), (70, 90)
    (entry,) = regions_to_result([Region("", 1, (Polygon(TILTED),))], config, size)
    assert abs(entry["value"]["rotation"]) == pytest.approx(np.degrees(np.arctan2(20, 30)), abs=20)
    truth = polygon_to_mask(Polygon(TILTED), size)
    back = read_back([entry], config, size) == 1
    (text,) = entry["meta"]["text"]
    said = float(text.split("IoU ")[1].split()[0])
    assert said == pytest.approx((truth & back).sum() / (truth | back).sum(), abs=0.03)


def test_a_tilted_ellipse_comes_back() -> None:
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    flat = np.stack([40 * np.cos(angles), 15 * np.sin(angles)], axis=1)
    turn = np.radians(30)
    ring = flat @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + [60, 50]
    config, size = config_of("Ellipse"), (100, 130)
    (entry,) = regions_to_result([Region("", 1, (Polygon(ring),))], config, size)
    assert entry["value"]["rotation"] == pytest.approx(30, abs=0.1)
    assert entry["value"]["radiusX"] == pytest.approx(40 / 130 * 100, rel=0.01)
    assert entry["value"]["radiusY"] == pytest.approx(15 / 100 * 100, rel=0.01)
    truth = polygon_to_mask(Polygon(ring), size)
    back = read_back([entry], config, size) == 1
    assert (truth & back).sum() / (truth | back).sum() > 0.99
    assert "IoU 0.99" in entry["meta"]["text"][0] or "IoU 1.0" in entry["meta"]["text"][0]


def test_over_budget_goes_out_as_brush_where_the_class_has_one() -> None:
    over = Region("", 1, (Polygon(OUTER),), meta={OVER_BUDGET: "90 points instead of 40"})
    plain = Region("", 1, (Polygon(INNER),))
    both = config_of("Polygon", "Brush")
    assert [e["type"] for e in regions_to_result([over, plain], both, (10, 20))] == [
        "brushlabels",
        "polygonlabels",
    ]
    (entry, *_) = regions_to_result([over], both, (10, 20))
    assert entry["meta"]["text"] == ["Brush: 90 points instead of 40."]
    assert validate_prediction(both, [entry]) == []
    (entry,) = regions_to_result([over], CONFIG, (10, 20))
    assert entry["type"] == "polygonlabels"
    assert entry["meta"]["text"] == ["90 points instead of 40."]
    other_classes = parse_label_config(
        '<View><Image name="image" value="$image"/>'
        '<PolygonLabels name="p" toName="image"><Label value="lumen"/></PolygonLabels>'
        '<BrushLabels name="b" toName="image"><Label value="plaque"/></BrushLabels></View>'
    )
    (entry,) = regions_to_result([over], other_classes, (10, 20))
    assert entry["type"] == "polygonlabels"


def test_result_is_what_label_studio_stores() -> None:
    scored = Region("", 2, (Polygon(OUTER, (INNER,)),), score=0.25)
    plain = Region("", 1, (Polygon(INNER),))
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
    assert "meta" not in first
    assert [first, second] == regions_to_result([scored, plain], CONFIG, (4, 8), score=0.75)
    assert "score" not in regions_to_result([plain], CONFIG, (4, 8))[0]


def test_a_class_the_configuration_lacks_is_a_fault_of_the_caller() -> None:
    with pytest.raises(KeyError):
        regions_to_result([Region("", 9, (Polygon(INNER),))], CONFIG, (4, 8))


def test_validation_finds_what_an_import_would_drop() -> None:
    good = regions_to_result([Region("", 1, (Polygon(INNER),))], CONFIG, (4, 8))
    assert validate_prediction(CONFIG, good, score=1.0) == []
    assert validate_prediction(CONFIG, [], score=0.0) == []
    assert validate_prediction(CONFIG, good, score=1.5)
    assert validate_prediction(CONFIG, good, score=float("nan"))
    assert validate_prediction(CONFIG, [good[0] | {"from_name": "other"}])
    unknown = good[0] | {"value": good[0]["value"] | {"polygonlabels": ["plaque"]}}
    assert "plaque" in validate_prediction(CONFIG, [unknown])[0]

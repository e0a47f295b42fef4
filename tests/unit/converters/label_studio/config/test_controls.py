from typing import Any

import numpy as np
import pytest

from converters.label_studio.config.controls import first_misplaced, places_of
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.write import regions_to_result, validate_prediction
from domain.annotation import Annotation, Region
from domain.geometry import Polygon
from domain.labels import LabelConfig

SIZE_HW = (30, 40)
RING = np.array([[2, 2], [10, 2], [10, 12], [2, 12]], dtype=np.float64)
ZONES = (
    '<PolygonLabels name="zones" toName="image"><Label value="ice"/><Label value="rock"/>'
    "</PolygonLabels>"
)
FRONT = '<VectorLabels name="front" toName="image"><Label value="front"/></VectorLabels>'


def config_of(*controls: str) -> LabelConfig:
    return parse_label_config(
        f'<View><Image name="image" value="$image"/>{"".join(controls)}</View>'
    )


def pushed(config: LabelConfig, **meta: Any) -> list[tuple[str, str, str]]:
    """(control, type, label) of a region of every class, which read back as they were."""
    regions = [
        Region("", c.index, (Polygon(RING + [12 * i, 0]),), meta=meta)  # noqa: RUF005
        for i, c in enumerate(config.group.classes)
    ]
    result = regions_to_result(regions, config, SIZE_HW, score=0.5)
    assert validate_prediction(config, result, score=0.5) == []
    assert first_misplaced(result, places_of(config.group)) is None
    label_map, notes = annotation_to_label_map(Annotation(1, 1, result), config, SIZE_HW)
    assert notes == ()
    for i, c in enumerate(config.group.classes):
        assert (label_map[2:12, 2 + 12 * i : 10 + 12 * i] == c.index).all()
    return [
        (e["from_name"], e["type"], e["value"][e["type"]][0])
        for e in result
        if e["type"] in e["value"]
    ]


@pytest.mark.parametrize("controls", [(ZONES, FRONT), (FRONT, ZONES)])
def test_a_class_goes_out_by_the_control_that_has_it(controls: tuple[str, str]) -> None:
    assert sorted(pushed(config_of(*controls))) == [
        ("front", "vectorlabels", "front"),
        ("zones", "polygonlabels", "ice"),
        ("zones", "polygonlabels", "rock"),
    ]


def test_polygons_go_before_where_several_controls_have_the_class() -> None:
    both = (
        '<BrushLabels name="b" toName="image"><Label value="ice"/><Label value="x"/></BrushLabels>'
    )
    config = config_of(both, ZONES)
    assert pushed(config) == [
        ("zones", "polygonlabels", "ice"),
        ("b", "brushlabels", "x"),
        ("zones", "polygonlabels", "rock"),
    ]
    # Too many points: as pixels where the class can be drawn so.
    assert pushed(config, over_budget="90 points instead of 40") == [
        ("b", "brushlabels", "ice"),
        ("b", "brushlabels", "x"),
        ("zones", "polygonlabels", "rock"),
    ]


def test_a_class_of_the_second_labels_tag_is_named_by_it() -> None:
    config = config_of(
        '<Polygon name="shape" toName="image"/>',
        '<Labels name="first" toName="image"><Label value="ice"/></Labels>',
        '<Labels name="second" toName="image"><Label value="rock" alias="stone"/></Labels>',
    )
    assert pushed(config) == [("first", "labels", "ice"), ("second", "labels", "stone")]
    regions = [Region("", 2, (Polygon(RING),))]
    shape, label = regions_to_result(regions, config, SIZE_HW)
    assert (shape["from_name"], shape["id"]) == ("shape", label["id"])


def test_of_several_channels_the_one_that_predictions_go_out_on_comes_first() -> None:
    xml = (
        '<View><Image name="a" value="$a"/><Image name="b" value="$b"/>'
        '<BrushLabels name="on_a" toName="a"><Label value="ice"/><Label value="x"/></BrushLabels>'
        '<PolygonLabels name="on_b" toName="b"><Label value="ice"/></PolygonLabels></View>'
    )
    config = parse_label_config(xml, channels=("a", "b"))
    assert config.group.to_name == "b"
    regions = [Region("", i, (Polygon(RING + [12 * i, 0]),)) for i in (1, 2)]  # noqa: RUF005
    result = regions_to_result(regions, config, SIZE_HW)
    assert [(e["from_name"], e["to_name"]) for e in result] == [("on_b", "b"), ("on_a", "a")]


def test_what_is_pushed_has_its_place_until_the_class_moves() -> None:
    separate = (
        '<Labels name="names" toName="image"><Label value="ice"/></Labels>'
        '<Labels name="more" toName="image"><Label value="rock"/></Labels>'
        '<Polygon name="poly" toName="image"/>'
    )
    brush = '<BrushLabels name="brush" toName="image"><Label value="rock"/></BrushLabels>'
    only_ice = ZONES.replace('<Label value="rock"/>', "")
    for controls, moved in (
        ((ZONES, FRONT), (only_ice, FRONT, brush)),
        ((separate,), (separate.replace("more", "other"),)),
        ((ZONES,), (ZONES.replace('"zones"', '"areas"'),)),
    ):
        config = config_of(*controls)
        regions = [Region("", c.index, (Polygon(RING),)) for c in config.group.classes]
        result = regions_to_result(regions, config, SIZE_HW)
        assert first_misplaced(result, places_of(config.group)) is None
        assert first_misplaced(result, places_of(config_of(*moved).group)) is not None

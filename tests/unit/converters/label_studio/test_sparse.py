"""Annotations of which not every pixel is known become label maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import SparseRules, with_sparse_labels
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.regions.read_settings import ReadSettings
from converters.label_studio.sparse import is_sparse, require_known
from domain.errors import AnnotationError
from domain.geometry import LabelMap
from domain.labels import LabelConfig
from tests.unit.converters.label_studio.drawn_regions import annotation, region

CONFIG = parse_label_config(
    """<View><Image name="image" value="$image"/>
    <PolygonLabels name="label" toName="image">
      <Label value="Ignore"/><Label value="lumen"/><Label value="Rest"/><Label value="wall"/>
    </PolygonLabels>
    <Choices name="rest" toName="image" choice="multiple">
      <Choice value="part"/><Choice value="blurred"/></Choices>
    <Choices name="sharp" toName="image" perRegion="true"><Choice value="part"/></Choices></View>"""
)
LEFT_QUARTER = [[0, 0], [25, 0], [25, 100], [0, 100]]
MIDDLE = [[25, 0], [75, 0], [75, 100], [25, 100]]
ALL = [[0, 0], [100, 0], [100, 100], [0, 100]]


def by(*rules: Any, **named: Any) -> LabelConfig:
    return with_sparse_labels(CONFIG, SparseRules(*rules, **named))


def choice(*values: str, **changes: Any) -> dict[str, Any]:
    """What an annotator chose for the whole image, as Label Studio stores it."""
    return {
        "id": "c",
        "from_name": "rest",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": list(values)},
        "origin": "manual",
    } | changes


def row_of(config: LabelConfig, *result: Any, **settings: Any) -> tuple[list[int], list[str]]:
    """One row of the label map of 4 x 8 pixels, all of whose rows are equal; reasons of notes."""
    label_map, notes = annotation_to_label_map(
        annotation(*result), config, (4, 8), settings=ReadSettings(**settings)
    )
    assert (label_map == label_map[0]).all()
    return label_map[0].tolist(), [note.reason for note in notes]


def test_ignored_pixels_over_and_under_classes() -> None:
    config = by("Ignore")  # lumen 1, Rest 2, wall 3, ignored 4
    over = region(), region(MIDDLE, "Ignore", id="r2")
    assert row_of(config, *over)[0] == [1, 1, 4, 4, 4, 4, 0, 0]
    under = region(MIDDLE, "Ignore", id="r2"), region()
    assert row_of(config, *under)[0] == [1, 1, 1, 1, 4, 4, 0, 0]
    # A label priority holds for labels that are no classes too.
    first = row_of(config, *under, priority=("Ignore",))[0]
    assert first == [1, 1, 4, 4, 4, 4, 0, 0]


def test_background_by_name_rubs_out_what_lies_below_it() -> None:
    config = by(background_label="Rest")  # Ignore 1, lumen 2, wall 3
    assert row_of(config, region(), region(MIDDLE, "Rest", id="r2"))[0] == [2, 2, *[0] * 6]
    # Nothing is ignored, so that the integer after the classes is nobody's.
    assert not config.group.has_ignore


def test_what_nobody_labelled_is_ignored_and_background_has_to_be_drawn() -> None:
    config = by("Ignore", "Rest", unlabelled="ignore")  # lumen 1, wall 2, ignored 3
    drawn = region(LEFT_QUARTER), region(MIDDLE, "Rest", id="r2")
    assert row_of(config, *drawn)[0] == [1, 1, 0, 0, 0, 0, 3, 3]


@pytest.mark.parametrize("entry", [choice("part"), choice("blurred", "part")])
def test_the_choice_holds_for_its_task(entry: dict[str, Any]) -> None:
    config = by("Ignore", "Rest", unlabelled_choice="part")
    assert row_of(config, region(LEFT_QUARTER), entry) == ([1, 1, *[3] * 6], [])
    assert row_of(config, region(LEFT_QUARTER))[0] == [1, 1, *[0] * 6]


@pytest.mark.parametrize(
    "entry",
    [
        choice("blurred"),
        choice(),
        choice(value={"choices": "part"}),
        choice(value=None),
        # Of one region: it repeats where that is, and says nothing about the image.
        choice("part", id="r1", from_name="sharp")
        | {"value": {"points": LEFT_QUARTER, "closed": True, "choices": ["part"]}},
        {"id": "t", "type": "textarea", "value": {"text": ["part"]}},
        {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["part"]},
    ],
)
def test_what_is_no_such_choice(entry: dict[str, Any]) -> None:
    config = by("Ignore", unlabelled_choice="part")
    assert not is_sparse([region(), entry], config.group)


def test_an_empty_annotation_with_the_choice_knows_nothing() -> None:
    config = by(unlabelled_choice="part")
    label_map, _ = annotation_to_label_map(annotation(choice("part")), config, (4, 8))
    with pytest.raises(AnnotationError, match="all of its pixels are ignored") as raised:
        require_known(label_map, config.group, 7)
    assert raised.value.reason == "all_ignored"
    # Without it nothing is to be seen, as ever.
    label_map, _ = annotation_to_label_map(annotation(), config, (4, 8))
    require_known(label_map, config.group, 7)
    assert not label_map.any()


def test_one_known_pixel_is_enough() -> None:
    group = by("Ignore").group
    label_map: LabelMap = np.full((4, 8), group.ignore_index, np.uint8)
    with pytest.raises(AnnotationError):
        require_known(label_map, group, 7)
    label_map[3, 7] = 0
    require_known(label_map, group, 7)


def test_with_nothing_ignored_the_highest_integer_is_no_secret() -> None:
    # A class of that integer covers the image: nothing is ignored here.
    require_known(np.full((2, 2), CONFIG.group.ignore_index, np.uint8), CONFIG.group, 7)


def test_all_of_it_ignored_by_hand() -> None:
    config = by("Ignore")
    label_map, notes = annotation_to_label_map(annotation(region(ALL, "Ignore")), config, (4, 8))
    assert notes == () and (label_map == 4).all()

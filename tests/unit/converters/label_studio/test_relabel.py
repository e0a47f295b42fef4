from __future__ import annotations

import copy
from typing import Any

import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.relabel import in_present_names, label_names, relabelled
from domain.annotation import Annotation
from domain.errors import AnnotationError
from domain.labels import LabelConfig, LabelNames
from tests.fakes.label_studio import CONFIG, polygon

APART = (
    '<View><Image name="image" value="$image"/><Labels name="name" toName="image">'
    '<Label value="lumen"/><Label value="wall"/></Labels><Polygon name="shape" toName="image"/>'
    '<Choices name="side" toName="image"><Choice value="Lumen"/></Choices></View>'
)


def _config(xml: str = CONFIG, **mapping: str) -> LabelConfig:
    config = parse_label_config(xml)
    return LabelNames(mapping, config.class_values).applied_to(config)


def _apart(label: str, region_id: str) -> list[dict[str, Any]]:
    """A region as the editor stores it where <Labels> stands beside <Polygon>."""
    drawn = {**polygon(), "id": region_id, "from_name": "shape", "type": "polygon"}
    value = {"points": drawn["value"]["points"], "closed": True}
    named = {**drawn, "from_name": "name", "type": "labels", "value": {**value, "labels": [label]}}
    return [{**drawn, "value": value}, named]


@pytest.mark.parametrize("xml", [CONFIG, APART])
def test_only_names_of_labels_change(xml: str) -> None:
    choice = {"from_name": "side", "type": "choices", "value": {"choices": ["Lumen"]}}
    regions = _apart("Lumen", "a") if xml == APART else [polygon("Lumen")]
    result = [*regions, choice, "no entry", {"from_name": ["x"], "value": 3}]
    before = copy.deepcopy(result)
    group = _config(xml, Lumen="lumen").group
    assert label_names(result, group) == {"Lumen"}
    renamed, lost = in_present_names(result, group)
    assert (result, lost) == (before, ())
    assert label_names(renamed, group) == {"lumen"}
    back, _ = relabelled(renamed, group, lambda name: "Lumen")
    assert back == before  # nothing else was touched
    assert renamed[len(regions) :] == before[len(regions) :]


def test_names_that_are_lost_stay_and_are_told() -> None:
    result = [polygon("lumen"), polygon("plaque", at=60), polygon("plaque", at=5)]
    assert in_present_names(result, _config().group) == (result, ("plaque",))


@pytest.mark.parametrize("xml", [CONFIG, APART])
def test_a_dropped_label_takes_its_whole_region_along(xml: str) -> None:
    keep, gone = (
        (_apart("lumen", "a"), _apart("plaque", "b"))
        if xml == APART
        else ([polygon("lumen")], [polygon("plaque")])
    )
    group = _config(xml, plaque="").group
    assert in_present_names([*gone, *keep], group) == (keep, ())


def test_annotations_are_read_by_the_renames_people_told_of() -> None:
    annotation = Annotation(7, 1, [polygon("Lumen"), polygon("plaque", at=70, size=20)])
    size = (40, 48)
    with pytest.raises(AnnotationError, match="Lumen"):
        annotation_to_label_map(annotation, _config(), size)
    drawn, notes = annotation_to_label_map(annotation, _config(Lumen="lumen", plaque=""), size)
    assert set(drawn.ravel().tolist()) == {0, 1}
    assert [note.reason for note in notes] == ["dropped_label"]
    merged, _ = annotation_to_label_map(annotation, _config(Lumen="wall", plaque="wall"), size)
    assert set(merged.ravel().tolist()) == {0, 2}
    assert (merged != 0).sum() > (drawn != 0).sum()

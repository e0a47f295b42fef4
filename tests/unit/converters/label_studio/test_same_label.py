"""Whether a label that was saved again is the same one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import encode_rle

from converters.label_studio.same_label import is_same_label

POINTS = [[10.0, 10.0], [50.0, 10.0], [50.0, 50.25]]
POLYGON: dict[str, Any] = {
    "id": "a",
    "from_name": "label",
    "to_name": "image",
    "type": "polygonlabels",
    "original_width": 40,
    "original_height": 30,
    "image_rotation": 0,
    "value": {"points": POINTS, "closed": True, "polygonlabels": ["lumen"]},
}
OTHER = {
    **POLYGON,
    "id": "b",
    "value": {**POLYGON["value"], "points": [[60, 60], [70, 60], [70, 70]]},
}
CHOICE = {"id": "c", "from_name": "q", "to_name": "image", "type": "choices",
          "value": {"choices": ["good"]}}  # fmt: skip


def _with(entry: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The entry with other values; those of ``value`` where it has them."""
    inner = {k: v for k, v in values.items() if k in entry["value"]}
    rest = {k: v for k, v in values.items() if k not in inner}
    return {**entry, **rest, "value": {**entry["value"], **inner}}


def _without(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k != key}


AS_WRITTEN = [[10, 10], [50, 10], [50, 50.25]]


@pytest.mark.parametrize(
    "saved",
    [
        _with(POLYGON, origin="manual"),
        _with(POLYGON, origin="manual", points=AS_WRITTEN),
        _with(POLYGON, points=[[10, 10], [50, 10 + 1e-12], [50, 50.25]]),
        _with(POLYGON, meta={"text": ["A note."]}, score=0.5, readonly=False, hidden=True),
        _without(POLYGON, "image_rotation"),
        _without(POLYGON, "meta"),
    ],
)
def test_written_otherwise(saved: dict[str, Any]) -> None:
    assert is_same_label([POLYGON, OTHER, CHOICE], [saved, OTHER, CHOICE])
    assert is_same_label([saved, OTHER], [POLYGON, OTHER])


@pytest.mark.parametrize(
    "after",
    [
        [],
        [POLYGON],
        [OTHER, POLYGON],  # another one lies on top
        [POLYGON, OTHER, OTHER],
        [_with(POLYGON, points=[[10, 10], [50, 10], [50, 50.2501]]), OTHER],
        [_with(POLYGON, points=AS_WRITTEN[:2]), OTHER],
        [_with(POLYGON, polygonlabels=["wall"]), OTHER],
        [_with(POLYGON, polygonlabels=["lumen", "wall"]), OTHER],
        [_with(POLYGON, origin="prediction"), OTHER],  # it counts as left as predicted
        [_with(POLYGON, id="nnloop-0123456789"), OTHER],
        [_with(POLYGON, from_name="shape"), OTHER],
        [_with(POLYGON, original_width=30, original_height=40), OTHER],
        [_with(POLYGON, item_index=1), OTHER],
        [POLYGON, OTHER, CHOICE],
    ],
)
def test_another_label(after: list[Any]) -> None:
    assert not is_same_label([POLYGON, OTHER], after)
    assert not is_same_label(after, [POLYGON, OTHER])


def test_what_is_said_beside_the_shapes() -> None:
    bad = _with(CHOICE, choices=["bad"])
    assert not is_same_label([POLYGON, CHOICE], [POLYGON, bad])
    assert is_same_label([POLYGON, CHOICE], [CHOICE, POLYGON])
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    assert is_same_label([POLYGON, OTHER, relation], [POLYGON, OTHER, dict(relation)])
    assert not is_same_label([POLYGON, OTHER, relation], [POLYGON, OTHER])
    assert not is_same_label([relation], [{**relation, "to_id": "c"}])


def test_labels_beside_their_shape_may_stand_anywhere() -> None:
    bare = {**POLYGON, "type": "polygon", "value": {"points": POINTS, "closed": True}}
    label = {**POLYGON, "from_name": "kind", "type": "labels",
             "value": {"points": POINTS, "closed": True, "labels": ["lumen"]}}  # fmt: skip
    assert is_same_label([bare, label], [label, bare])
    assert not is_same_label([bare, label], [bare, _with(label, labels=["wall"])])
    assert not is_same_label([bare, label], [bare])


def test_masks_are_compared_by_their_pixels() -> None:
    def brush(mask: Any, extra: int) -> dict[str, Any]:
        pixels = np.zeros((30, 40, 4), dtype=np.uint8)
        pixels[..., 3] = mask * 255
        pixels[..., 0] = extra  # a colour, which marks nothing
        value = {"format": "rle", "rle": encode_rle(pixels.ravel()), "brushlabels": ["lumen"]}
        return {**POLYGON, "type": "brushlabels", "value": value}

    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[5:20, 5:20] = 1
    before, after = brush(mask, 0), brush(mask, 200)
    assert before["value"]["rle"] != after["value"]["rle"]
    assert is_same_label([before], [after])
    mask[5, 5] = 0
    assert not is_same_label([before], [brush(mask, 0)])


def test_an_open_line_is_no_ring() -> None:
    vertices = [{"x": 1, "y": 1}, {"x": 5, "y": 1}, {"x": 5, "y": 5}]
    value = {"vertices": vertices, "closed": True, "vectorlabels": ["lumen"]}
    vector = {**POLYGON, "type": "vectorlabels", "value": value}
    assert not is_same_label([vector], [_with(vector, closed=False)])


@pytest.mark.parametrize("broken", [None, "text", 3, [], {}, {"id": 3, "value": 3}])
def test_what_is_no_region_is_the_same_only_as_itself(broken: Any) -> None:
    assert is_same_label([broken, POLYGON], [broken, POLYGON])
    assert not is_same_label([broken, POLYGON], [POLYGON])
    strange = _with(POLYGON, points="none")
    assert is_same_label([strange], [{**strange, "origin": "manual"}])
    assert not is_same_label([strange], [_with(POLYGON, points="other")])

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


def brush(mask: Any, extra: int) -> dict[str, Any]:
    pixels = np.zeros((30, 40, 4), dtype=np.uint8)
    pixels[..., 3] = mask * 255
    pixels[..., 0] = extra  # a colour, which marks nothing
    value = {"format": "rle", "rle": encode_rle(pixels.ravel()), "brushlabels": ["lumen"]}
    return {**POLYGON, "type": "brushlabels", "value": value}


def test_masks_are_compared_by_their_pixels() -> None:
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


BARE = {**POLYGON, "type": "polygon", "value": {"points": POINTS, "closed": True}}
LABEL = {**POLYGON, "from_name": "kind", "type": "labels",
         "value": {"points": POINTS, "closed": True, "labels": ["lumen"]}}  # fmt: skip
RECTANGLE = {**POLYGON, "type": "rectanglelabels",
             "value": {"x": 5, "y": 5, "width": 9, "height": 9, "rotation": 0,
                       "rectanglelabels": ["lumen"]}}  # fmt: skip
VERTICES = [
    {"x": 1, "y": 1, "id": "u"},
    {"x": 5, "y": 1, "id": "v", "prevPointId": "u"},
    {"x": 5, "y": 5, "id": "w", "prevPointId": "v"},
]
VECTOR = {**POLYGON, "type": "vectorlabels",
          "value": {"vertices": VERTICES, "closed": False, "vectorlabels": ["lumen"]}}  # fmt: skip
HERE = {**POLYGON, "type": "choices", "from_name": "q",
        "value": {"points": POINTS, "closed": True, "choices": ["good"]}}  # fmt: skip


def _as_text(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "original_width": "40", "original_height": 30.0}


@pytest.mark.parametrize(
    ("imported", "saved"),
    [
        # The editor makes up ids, and has none that are numbers.
        ([_without(POLYGON, "id")], [_with(POLYGON, id="Zk3x")]),
        ([_without(CHOICE, "id"), POLYGON], [_with(CHOICE, id="Zk3x"), POLYGON]),
        ([_with(POLYGON, id=5)], [_with(POLYGON, id="5")]),
        # It writes the size of the image that it shows.
        ([_without(_without(POLYGON, "original_width"), "original_height")], [POLYGON]),
        ([_as_text(POLYGON)], [POLYGON]),
        ([_as_text(brush(np.ones((30, 40)), 0))], [brush(np.ones((30, 40)), 0)]),
        # Turned by no angle, all the way round, or by the same the other way.
        ([_with(RECTANGLE, rotation=None)], [RECTANGLE]),
        ([_with(RECTANGLE, rotation=-90.0)], [_with(RECTANGLE, rotation=270)]),
        # Vertices in a row have no ids where a program wrote them.
        ([_with(VECTOR, vertices=[{"x": v["x"], "y": v["y"]} for v in VERTICES])],
         [_with(VECTOR, vertices=[{**v, "isBezier": False} for v in VERTICES])]),
        ([_with(POLYGON, id="nnloop-0123456789", origin="prediction")],
         [_with(POLYGON, id="nnloop-0123456789", origin="prediction-changed")]),
        ([POLYGON], [_with(POLYGON, item_index=0, is_positive=True)]),
    ],
)  # fmt: skip
def test_what_the_editor_adds_is_not_drawn(imported: list[Any], saved: list[Any]) -> None:
    assert is_same_label([*imported, OTHER], [*saved, OTHER])
    assert is_same_label([*saved, OTHER], [*saved, OTHER])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Two shapes with one id: their labels change places.
        ([POLYGON, _with(OTHER, id="a", polygonlabels=["wall"])],
         [_with(POLYGON, polygonlabels=["wall"]), _with(OTHER, id="a")]),
        # Its label alone, which then is a shape.
        ([LABEL], [_with(LABEL, points=AS_WRITTEN[:2])]),
        ([BARE, LABEL], [BARE, _with(LABEL, points=AS_WRITTEN[:2])]),
        ([BARE, LABEL], [BARE, _with(LABEL, from_name="another")]),
        ([BARE, LABEL], [BARE, _with(LABEL, to_name="another")]),
        # What is said about a shape.
        ([POLYGON, HERE], [POLYGON, _with(HERE, choices=["bad"])]),
        ([_without(POLYGON, "type")],
         [{**_without(POLYGON, "type"), "value": {**POLYGON["value"], "text": ["x"]}}]),
        # Joined otherwise.
        ([VECTOR], [_with(VECTOR, vertices=[*VERTICES[:2], {**VERTICES[2], "prevPointId": "u"}])]),
        ([VECTOR], [_with(VECTOR, closed=True)]),
        # Not on the first page, and no number.
        ([POLYGON], [{**POLYGON, "value": {**POLYGON["value"], "item_index": 1}}]),
        ([POLYGON], [_with(POLYGON, points=[{"x": x, "y": y} for x, y in POINTS])]),
        ([RECTANGLE], [_with(RECTANGLE, width=True)]),
        ([RECTANGLE], [{**RECTANGLE, "value": {k: v for k, v in RECTANGLE["value"].items()
                                               if k != "width"}}]),
        # A mask need not be of the size of its image.
        ([brush(np.ones((30, 40)), 0)], [_without(brush(np.ones((30, 40)), 0), "original_width")]),
        # An id that says that nnloop drew it, or that stood there before.
        ([_without(POLYGON, "id")], [_with(POLYGON, id="nnloop-0123456789")]),
        ([_without(POLYGON, "id")], [_with(POLYGON, id="b")]),
        ([_without(POLYGON, "original_width")], [_with(POLYGON, original_width=0)]),
    ],
)  # fmt: skip
def test_what_is_read_otherwise_is_another_label(before: list[Any], after: list[Any]) -> None:
    assert not is_same_label([*before, OTHER], [*after, OTHER])
    assert not is_same_label([*after, OTHER], [*before, OTHER])
    assert is_same_label([*before, OTHER], [*before, OTHER])


def test_what_is_nested_deeper_than_anybody_reads_is_no_crash() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    said = _with(CHOICE, choices=deep)
    assert not is_same_label([said], [said])

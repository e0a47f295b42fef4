"""Broken exports and configurations: a clear error that names the place, or a label map."""

import copy
import json
import random
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map, annotation_to_shapes
from domain.annotation import Annotation
from domain.errors import AnnotationError, LabelConfigError
from tests.unit.converters.configs import XML
from tests.unit.converters.label_studio.regions.test_brush import FULL, url_of

TAGS = ("Polygon", "Rectangle", "Ellipse", "Brush", "Bitmask", "Vector", "KeyPoint")
CONFIG = parse_label_config(
    '<View><Image name="image" value="$image"/>'
    + "".join(
        f'<{tag}Labels name="{tag.lower()}" toName="image"><Label value="a"/></{tag}Labels>'
        f'<{tag} name="bare-{tag.lower()}" toName="image"/>'
        for tag in TAGS
    )
    + '<Labels name="names" toName="image"><Label value="b"/></Labels></View>'
)
SIZE_HW = (3, 3)
HANDLE = {"x": 10, "y": 10}
VALUES: dict[str, dict[str, Any]] = {
    "polygon": {"points": [[0, 0], [100, 0], [100, 100]], "closed": True},
    "rectangle": {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 30},
    "ellipse": {"x": 50, "y": 50, "radiusX": 30, "radiusY": 20, "rotation": 30},
    "brush": {"format": "rle", "rle": FULL},
    "bitmask": {"imageDataURL": url_of(np.full(SIZE_HW, 255))},
    "vector": {
        "closed": True,
        "vertices": [
            {"x": 0, "y": 0, "id": "a", "prevPointId": "c"},
            {"x": 90, "y": 0, "id": "b", "prevPointId": "a", "isBezier": True}
            | {"controlPoint1": HANDLE, "controlPoint2": HANDLE},
            {"x": 90, "y": 90, "id": "c", "prevPointId": "b"},
        ],
    },
    "keypoint": {"x": 50, "y": 50, "width": 40},
}


def good() -> list[dict[str, Any]]:
    """Every region type in both spellings."""
    frame = {"to_name": "image", "original_width": 3, "original_height": 3, "image_rotation": 0}
    result = []
    for kind, value in VALUES.items():
        own = {"id": kind, "from_name": kind, "type": f"{kind}labels"} | frame
        bare = {"id": f"{kind}-2", "from_name": f"bare-{kind}", "type": kind} | frame
        result += [
            own | {"value": value | {f"{kind}labels": ["a"]}},
            bare | {"value": value},
            bare | {"from_name": "names", "type": "labels", "value": value | {"labels": ["b"]}},
        ]
    return copy.deepcopy(result)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[Any] = [
    None, True, 0, -1, 3.5, float("nan"), float("inf"), 1e308, -1e12, 10**400, "", "x" * 10_000,
    [], {}, [[]], [None], {"x": None}, nested(50_000), [[1, 2]] * 1000, "a\x00b", "\ud800",
]  # fmt: skip


def test_what_is_mutated_is_sound() -> None:
    shapes, notes = annotation_to_shapes(Annotation(1, 1, good()), CONFIG, SIZE_HW)
    assert [index for index, _ in shapes] == [1, 2] * len(TAGS)
    # Each lies on top of the one before.
    assert {note.reason for note in notes} <= {"hidden_region"}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value inside a JSON value; of long lists of numbers only the ends."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        few = range(len(value)) if len(value) < 30 else (0, 5, len(value) - 1)
        for index in few:
            found += places(value[index], (*path, index))
    return found


def mutated(value: Any, path: tuple[Any, ...], new: Any, *, drop: bool) -> Any:
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if drop:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return changed


@pytest.mark.slow
def test_every_value_of_every_region_replaced_by_something_hostile() -> None:
    whole = good()
    started = time.perf_counter()
    n_errors = 0
    for path in places(whole):
        entry = [whole[path[0]], *([whole[path[0] + 1]] if path[0] % 3 == 1 else [])]
        short = (0, *path[1:])
        for new, drop in [(None, True), *((new, False) for new in HOSTILE)]:
            result = mutated(entry, short, new, drop=drop)
            try:
                label_map, _ = annotation_to_label_map(Annotation(4, 9, result), CONFIG, SIZE_HW)
            except AnnotationError as error:
                n_errors += 1
                assert error.task_id == 9
                assert "annotation 4" in str(error)
                assert len(str(error)) < 600
            else:
                assert label_map.shape == SIZE_HW
    assert n_errors > 1000
    assert time.perf_counter() - started < 120


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_bytes_of_an_export_changed_at_random(rng: random.Random) -> None:
    row = {"id": 9, "data": {"image": "a.png"}, "annotations": [{"id": 4, "result": good()}]}
    text = bytearray(json.dumps([row]).encode())
    for _ in range(rng.randint(1, 6)):
        text[rng.randrange(len(text))] = rng.choice(b'0123456789-+.eE"[]{},:truefalsn x')
    try:
        rows = json.loads(bytes(text).decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return
    try:
        for task in tasks_from_export(rows):
            for annotation in task.annotations:
                annotation_to_label_map(annotation, CONFIG, SIZE_HW)
    except AnnotationError as error:
        assert str(error).startswith("Task ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "annotations", "data", "result", "value", "type", "from_name"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_at_all(value: Any) -> None:
    try:
        for task in tasks_from_export(value if isinstance(value, list | dict) else [value]):
            for annotation in task.annotations:
                annotation_to_label_map(annotation, CONFIG, SIZE_HW)
    except AnnotationError as error:
        assert str(error).startswith("Task ")


def test_deep_rows_are_left_out() -> None:
    row: dict[str, Any]
    for bad in (nested(50_000), 10**5000):
        row = {"id": 1, "annotation_id": 2, "label": [{"a": bad, "original_width": 3}]}
        with pytest.raises(AnnotationError, match="can't be read"):
            list(tasks_from_export([row]))
    # Half an emoji in a text is no reason to lose a row.
    row = {"id": 1, "annotation_id": 2, "label": [{"a": "\ud800", "original_width": 3}]}
    assert len(list(tasks_from_export([row]))) == 1


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_configurations_changed_at_random(rng: random.Random) -> None:
    text = list(XML)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(text))
        text[at] = rng.choice(["", "<", ">", '"', "&", "/", "\x00", "a", "Label", " ", "\ud800"])
    try:
        parse_label_config("".join(text))
    except LabelConfigError as error:
        assert error.remedy


@pytest.mark.slow
def test_memory_is_bounded_by_the_image() -> None:
    # Long edges all over a 4K image: 20,000 edges of 2,160 rows would be gigabytes at once.
    zigzag = [[i % 100, 100 * (i % 2)] for i in range(5_000)]
    curve = {"x": 1e9, "y": -1e9}
    vertices = [
        {"x": x, "y": y, "isBezier": True, "controlPoint1": curve, "controlPoint2": curve}
        for x, y in zigzag[:300]
    ]
    result = [
        {"from_name": "polygon", "value": {"points": zigzag, "polygonlabels": ["a"]}},
        {"from_name": "vector", "value": {"vertices": vertices, "vectorlabels": ["a"]}},
        {"from_name": "ellipse", "value": VALUES["ellipse"] | {"ellipselabels": ["a"]}},
    ]
    tracemalloc.start()
    annotation_to_label_map(Annotation(1, 1, result), CONFIG, (2160, 3840))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 350e6

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from converters.bookkeeping.files_report import Reasons
from converters.label_studio.config.inferred_config import infer_label_config, polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import (
    SparseRules,
    choice_controls,
    with_sparse_labels,
)
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation, LeftOut, Task
from domain.errors import AnnotationError, LabelConfigError
from domain.geometry import LabelMap
from domain.labels import LabelConfig
from tests.golden import recorded


def _task(*result: Any, **data: Any) -> Task:
    return Task(1, 0, data, (Annotation(1, 1, list(result)),))


def _region(kind: str, labels: list[str], name: str = "label", to: str = "img") -> dict[str, Any]:
    return {"type": kind, "from_name": name, "to_name": to, "value": {kind: labels}}


def test_classes_come_in_order_of_appearance_over_all_controls() -> None:
    first = _task(_region("polygonlabels", ["b"]), scan="/data/upload/1/00000000-a.png", note="x")
    second = _task(_region("brushlabels", ["a", "b"], "brush"), scan="/b.png")
    config = parse_label_config(infer_label_config([first, second]))
    assert config.class_values == ("b", "a")
    assert config.image_key == "scan"
    controls = [(c.name, c.region_type) for c in config.group.controls]
    assert controls == [("label", "polygonlabels"), ("brush", "brushlabels")]
    assert config.group.to_name == "img"


def test_the_spelling_with_labels() -> None:
    shape = {"type": "polygon", "from_name": "poly", "to_name": "image", "value": {"points": []}}
    config = parse_label_config(
        infer_label_config([_task(shape, _region("labels", ["x"], "l", "image"))])
    )
    assert config.class_values == ("x",)
    assert [(c.name, c.labels_name) for c in config.group.controls] == [("poly", "l")]


def test_strange_names_survive_or_are_left_out() -> None:
    names = ['a"<&>', "tab\there", "é", "nul\0", ""]
    config = parse_label_config(infer_label_config([_task(_region("polygonlabels", names))]))
    assert config.class_values == ('a"<&>', "tab\there", "é")
    assert parse_label_config(polygon_label_config(names[:3])).class_values == tuple(names[:3])


def test_nothing_to_infer_from() -> None:
    with pytest.raises(LabelConfigError, match="no labelled region"):
        infer_label_config([_task(_region("choices", ["x"]), 5, {"value": 3})])


@pytest.mark.parametrize("kind", ["JSON", "JSON_MIN"])
def test_real_exports(kind: str) -> None:
    xml = infer_label_config(tasks_from_export(recorded(f"exports/polygons_{kind}")["rows"]))
    config = parse_label_config(xml)
    assert set(config.class_values) == {"Lesion", "Organ"}
    assert (config.group.from_name, config.image_key) == ("label", "image")


SQUARE = [[70, 70], [90, 70], [90, 90], [70, 90]]
FRAME = {"original_width": 40, "original_height": 30}


def _min_row(**controls: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of JSON_MIN, without the types that old ones lack."""
    about = {"id": 1, "image": "a.png", "annotator": 1, "annotation_id": 10}
    return about | {
        name: [FRAME | entry for entry in several] for name, several in controls.items()
    }


def _inferred_mask(*rows: dict[str, Any]) -> tuple[LabelConfig, LabelMap]:
    """The label map of the first task by what is inferred from all rows."""
    tasks = list(tasks_from_export(rows))
    config = parse_label_config(infer_label_config(tasks))
    return config, annotation_to_label_map(tasks[0].annotations[0], config, (30, 40))[0]


SHAPE = {"points": SQUARE, "closed": True}
BOX = {"x": 70, "y": 70, "width": 20, "height": 20, "rotation": 0}
BESIDE = [
    {"rating": 3},
    {"choices": ["sharp"]},
    {"text": ["a note"]},
    {"number": 4},
    {"taxonomy": [["a", "b"]]},
    {"datetime": "2026-01-01"},
]


@pytest.mark.parametrize("shape", [SHAPE, BOX], ids=["polygon", "rectangle"])
@pytest.mark.parametrize("is_first", [True, False])
def test_json_min_in_the_spelling_with_labels(shape: dict[str, Any], is_first: bool) -> None:
    labels, shapes = {"label": [shape | {"labels": ["cyst"]}]}, {"poly": [shape]}
    config, mask = _inferred_mask(_min_row(**(labels | shapes if is_first else shapes | labels)))
    assert config.class_values == ("cyst",)
    assert [(c.name, c.labels_name) for c in config.group.controls] == [("poly", "label")]
    expected = np.zeros((30, 40), dtype=np.uint8)
    expected[21:27, 28:36] = 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("beside", BESIDE, ids=lambda entry: next(iter(entry)))
@pytest.mark.parametrize("spelling", ["polygonlabels", "labels"])
def test_what_is_said_about_a_region_is_no_region(beside: dict[str, Any], spelling: str) -> None:
    controls = {"rate": [SHAPE | beside], "label": [SHAPE | {spelling: ["cyst"]}]}
    if spelling == "labels":
        controls["poly"] = [SHAPE]
    for names in itertools.permutations(controls):
        config, mask = _inferred_mask(_min_row(**{name: controls[name] for name in names}))
        assert config.class_values == ("cyst",)
        assert "rate" not in {control.name for control in config.group.controls}
        assert np.count_nonzero(mask) == 6 * 8


def test_json_min_with_types_reads_the_same() -> None:
    row = _min_row(
        poly=[SHAPE | {"type": "Polygon"}],
        label=[SHAPE | {"labels": ["cyst"], "type": "Labels"}],
        rate=[SHAPE | {"rating": 3, "type": "Rating"}],
    )
    config, mask = _inferred_mask(row)
    assert [(c.name, c.labels_name) for c in config.group.controls] == [("poly", "label")]
    assert np.count_nonzero(mask) == 6 * 8


def test_a_region_without_a_class_makes_no_second_control() -> None:
    row = _min_row(label=[SHAPE | {"polygonlabels": ["cyst"]}])
    other = _min_row(label=[SHAPE]) | {"id": 2}
    config, _ = _inferred_mask(row, other)
    assert [(c.name, c.region_type) for c in config.group.controls] == [("label", "polygonlabels")]


def test_pages_of_a_list_are_an_image() -> None:
    region = _region("polygonlabels", ["x"])
    assert (
        parse_label_config(
            infer_label_config([_task(region, tags=["a", "b"], scans=["p0.png", "p1.png"])])
        ).image_key
        == "scans"
    )


def test_json_min_of_pages_is_refused_for_it_lost_them() -> None:
    row = _min_row(label=[SHAPE | {"polygonlabels": ["cyst"]}])
    del row["image"]
    (task,) = tasks_from_export([row | {"pages": ["p0.png", "p1.png"]}])
    config = parse_label_config(infer_label_config([task]))
    with pytest.raises(AnnotationError, match="other pages"):
        annotation_to_label_map(task.annotations[0], config, (30, 40))
    # One page alone can't be mistaken, nor can a list of something else.
    for data in ({"pages": ["p0.png"]}, {"image": "a.png", "tags": ["a", "b"]}):
        (task,) = tasks_from_export([row | data])
        assert annotation_to_label_map(task.annotations[0], config, (30, 40))[0].any()


def test_the_error_names_what_was_found_most() -> None:
    tasks = [Task(i, 0, {}) for i in range(1, 4)]
    tasks.append(Task(4, 0, {}, (Annotation(1, 4, [], was_cancelled=True),)))
    tasks.append(_task({"type": "rectangle", "value": BOX}))
    tasks.append(Task(6, 0, {}, (Annotation(1, 6, []),)))
    reasons = Reasons()
    for number in (1, 2):
        reasons.add(LeftOut(number, "malformed_task", f"Row {number} is no task."))
    with pytest.raises(LabelConfigError) as caught:
        infer_label_config(tasks, reasons)
    said = str(caught.value)
    assert "3 unlabelled (Task 1 is not labelled yet.)" in said
    assert "2 malformed_task (Row 1 is no task.)" in said
    assert "2 more" in said


def test_choices_about_whole_images_are_inferred_too() -> None:
    drawn = _region("polygonlabels", ["a"])
    of_image = _region("choices", ["part"], "rest")
    of_region = _region("choices", ["sharp"], "each")
    of_region["value"] |= {"points": [[1, 1]]}
    strange = [_region("choices", names, "rest") for names in (["<&>", 5, "nul\0"], "no list")]  # type: ignore[arg-type]
    xml = infer_label_config([_task(drawn, of_image, of_region), _task(*strange)])
    config = parse_label_config(xml)
    for choice in ("part", "<&>"):
        rules = SparseRules(unlabelled_choice=choice)
        assert choice_controls(with_sparse_labels(config, rules)) == ("rest",)
    assert "sharp" not in xml and "no list" not in xml and config.class_values == ("a",)

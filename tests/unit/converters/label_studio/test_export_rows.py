from typing import Any

import numpy as np
import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation
from domain.errors import AnnotationError, TaskError
from tests.golden import RECORDED, recorded

REGION = {"from_name": "label", "to_name": "image", "type": "polygonlabels", "value": {}}


def size_of(annotation: Annotation) -> tuple[int, int]:
    """(height, width) that the regions name."""
    frames = [r for r in annotation.result if "original_width" in r]
    return (frames[0]["original_height"], frames[0]["original_width"]) if frames else (480, 640)


def test_json_export() -> None:
    person = {"id": 4, "email": "someone@example.com"}
    row = {
        "id": 12,
        "project": 3,
        "data": {"image": "a.png"},
        "updated_at": "2026-01-01",
        "annotations": [
            {"id": 1, "result": [REGION], "completed_by": person, "ground_truth": True},
            {"id": 2, "result": [], "completed_by": 5, "was_cancelled": True},
        ],
    }
    (task,) = tasks_from_export([row])
    assert (task.id, task.project_id, task.data) == (12, 3, {"image": "a.png"})
    assert task.annotations == (
        Annotation(1, 12, [REGION], ground_truth=True, completed_by=4, email="someone@example.com"),
        Annotation(2, 12, [], was_cancelled=True, completed_by=5),
    )
    assert [t.id for t in tasks_from_export({"tasks": [row], "total": 1})] == [12]
    webhook = {"task": {"id": 12, "data": {}}, "annotation": {"id": 1, "result": [REGION]}}
    assert [len(t.annotations) for t in tasks_from_export(webhook)] == [1]


def test_plain_results_and_predictions() -> None:
    result = [REGION | {"id": "a"}, REGION | {"id": "b"}]
    (task,) = tasks_from_export(result)
    assert task.annotations[0].result == result
    tasks = list(tasks_from_export([result, [REGION]]))
    assert [(t.id, len(t.annotations[0].result)) for t in tasks] == [(1, 2), (2, 1)]
    tasks = list(tasks_from_export([{"task": 8, "result": result}, {"result": [REGION]}]))
    assert [(t.id, len(t.annotations[0].result)) for t in tasks] == [(8, 2), (2, 1)]


def test_json_min_says_the_same_as_json() -> None:
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
        '<Label value="Lesion"/><Label value="Organ"/></PolygonLabels></View>'
    )
    full = {t.id: t for t in tasks_from_export(recorded("exports/polygons_JSON")["rows"])}
    short = {t.id: t for t in tasks_from_export(recorded("exports/polygons_JSON_MIN")["rows"])}
    assert short.keys() < full.keys()  # it drops the task whose annotation is a skip
    for task_id, task in short.items():
        assert task.data.keys() == full[task_id].data.keys()
        wanted = {a.id: a for a in full[task_id].annotations}
        assert {a.id for a in task.annotations} == wanted.keys()
        for annotation in task.annotations:
            found, expected = (
                annotation_to_label_map(a, config, size_of(a))[0]
                for a in (annotation, wanted[annotation.id])
            )
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([3], "row 1 .* is no task but int"),
        ([{"id": "x", "data": {}}], "row 1 .*'x'"),
        ([{"id": 1, "data": {}, "annotations": {}}, 0], "row 2 .* int"),
        ([{"id": 1, "data": [], "annotations": []}], "no object but list"),
        ([{"id": 1, "data": {}, "annotations": [[]]}], "annotation that is list"),
        ([{"id": 1, "data": {}, "annotations": [{"result": "no"}]}], "no list: 'no'"),
        ([{"id": 1, "data": {}, "annotations": "none"}], "'none'"),
        ([{"id": 10**400, "data": {}}], "huge integer"),
        ([{"a": 1}], r"only the fields \['a'\]"),
        ({"images": [], "categories": [], "annotations": []}, "COCO"),
    ],
)
def test_refusals_name_the_row(rows: Any, words: str) -> None:
    with pytest.raises(AnnotationError, match=words) as caught:
        list(tasks_from_export(rows))
    assert caught.value.reason == "malformed_task"
    seen: list[TaskError] = []
    list(tasks_from_export(rows, on_error=seen.append))
    assert len(seen) == 1


def test_a_result_that_is_null_is_no_malformed_row() -> None:
    with pytest.raises(AnnotationError, match=r"row 1 .* no annotation with a result") as caught:
        list(tasks_from_export([{"id": 1, "data": {}, "annotations": [{"result": None}]}]))
    assert caught.value.reason == "no_result"


def test_the_rows_after_a_bad_one_are_read() -> None:
    seen: list[TaskError] = []
    rows = [{"id": 1, "data": {}}, None, {"id": 3, "data": {}}]
    assert [t.id for t in tasks_from_export(rows, on_error=seen.append)] == [1, 3]
    assert len(seen) == 1


PIXELS = 480 * 640
Y, X = np.mgrid[:480, :640]
RADII = np.hypot(X - 320, Y - 240)
BRUSHED = (RADII < 60) | ((RADII > 90) & (RADII < 120)) | (np.hypot(X, Y) < 40)

# Project: its tasks in JSON and in JSON_MIN, and the pixels of each class in its annotations.
EXPORTS: dict[str, tuple[int, int, list[dict[int, float]]]] = {
    # A keyhole and a small triangle; a square; an empty one. The skip is no label map.
    "polygons": (
        4,
        3,
        [{1: (0.36 - 0.04 + 0.0032) * PIXELS}, {2: 0.36 * PIXELS}, {}],
    ),
    "rectangles": (2, 2, [{1: 0.25 * PIXELS}, {1: 0.25 * PIXELS}]),
    "ellipses": (1, 1, [{1: np.pi * 0.25 * 0.25 * PIXELS}]),
    "keypoints": (1, 1, [{1: np.pi * (0.05 * 640 / 2) ** 2}]),
    "brush": (1, 1, [{1: int(BRUSHED.sum())}]),
    "labels": (1, 1, [{1: 0.36 * PIXELS, 2: 0.01 * PIXELS}]),
}


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("kind", ["JSON", "JSON_MIN"])
def test_exports_of_label_studio_are_read(name: str, kind: str) -> None:
    content = recorded(f"exports/{name}_{kind}")
    tasks = list(tasks_from_export(content["rows"]))
    n_tasks, n_short, expected = EXPORTS[name]
    assert len(tasks) == (n_tasks if kind == "JSON" else n_short)
    config = parse_label_config(content["label_config"])
    found = []
    for annotation in (a for task in tasks for a in task.annotations if not a.was_cancelled):
        label_map, notes = annotation_to_label_map(annotation, config, (480, 640))
        assert {note.reason for note in notes} <= {"other_control", "extra_label"}
        classes, counts = np.unique(label_map[label_map > 0], return_counts=True)
        found.append(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
    assert len(found) == len(expected)
    for sizes in found:
        assert any(sizes == pytest.approx(wanted, rel=0.01) for wanted in expected), sizes


def test_other_exports_of_label_studio_parse() -> None:
    assert len(list(tasks_from_export(recorded("exports/choices_JSON")["rows"]))) == 1
    assert len(list(tasks_from_export(recorded("exports/choices_JSON_MIN")["rows"]))) == 1
    assert len(list(tasks_from_export(recorded("exports/repeater_JSON")["rows"]))) == 1
    assert len(list(tasks_from_export(recorded("exports/repeater_JSON_MIN")["rows"]))) == 1
    with pytest.raises(AnnotationError, match="COCO"):
        list(tasks_from_export(recorded("exports/polygons_COCO")["rows"]))


@pytest.mark.parametrize("kind", ["JSON", "JSON_MIN"])
def test_a_label_in_other_letters_is_refused(kind: str) -> None:
    """Label Studio takes a label that the configuration does not have."""
    content = recorded(f"exports/other_label_{kind}")
    config = parse_label_config(content["label_config"])
    [task] = tasks_from_export(content["rows"])
    with pytest.raises(AnnotationError, match="'Lesion'") as caught:
        annotation_to_label_map(task.annotations[0], config, (480, 640))
    assert caught.value.reason == "unknown_label"


def test_masks_of_another_backend_are_read_to_the_pixel() -> None:
    content = recorded("exports/brush_JSON")
    [task] = tasks_from_export(content["rows"])
    config = parse_label_config(content["label_config"])
    label_map, notes = annotation_to_label_map(task.annotations[0], config, (480, 640))
    assert notes == ()
    np.testing.assert_array_equal(label_map == 1, BRUSHED)


def test_every_recorded_export_is_read() -> None:
    names = {path.stem.partition("_JSON")[0] for path in (RECORDED / "exports").glob("*.json")}
    assert names == {*EXPORTS, "choices", "repeater", "other_label", "polygons_COCO"}


_PART = {"from_name": "rest", "type": "choices", "value": {"choices": ["part"]}}
_TWO = {"from_name": "rest", "type": "choices", "value": {"choices": ["part", "blurred"]}}


@pytest.mark.parametrize(
    ("said", "expected"),
    [("part", [_PART]), ({"choices": ["part", "blurred"]}, [_TWO]), (None, []), ([], [])],
)
def test_json_min_has_choices_beside_the_data(said: Any, expected: list[Any]) -> None:
    row = {"image": "a.png", "id": 3, "rest": said, "annotator": 1, "annotation_id": 9}
    row |= {"created_at": "", "updated_at": "", "lead_time": None}
    second = row | {"annotation_id": 10, "rest": "all"}
    task, other = tasks_from_export([row, second, row | {"id": 4}], choices=["rest"])
    # Of each annotation its own, also where several are of one task.
    assert task.annotations[0].result == expected
    assert task.annotations[1].result[0]["value"] == {"choices": ["all"]}
    assert "rest" not in other.data or not expected
    # Unless somebody wants it, it is one of the task's data.
    (task, _) = tasks_from_export([row, row | {"id": 4}])
    assert task.annotations[0].result == [] and task.data["rest"] == said

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation
from domain.errors import AnnotationError, TaskError

SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "label-studio"
COCO_INPUT = "test_import_coco/coco_import_input.json"
CONFIG_AS_JSON = "test_export_json_min/label_config_repeater.json"
REGION = {"from_name": "label", "to_name": "image", "type": "polygonlabels", "value": {}}


def recorded(name: str) -> Any:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the recorded files are not beside the repository: {path}")
    return json.loads(path.read_text())


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
        Annotation(1, 12, [REGION], ground_truth=True, completed_by=4),
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
    full = {t.id: t for t in tasks_from_export(recorded("captures/export_JSON.json"))}
    short = {t.id: t for t in tasks_from_export(recorded("captures/export_JSON_MIN.json"))}
    assert short.keys() < full.keys()  # it drops the task whose annotation is a skip
    for task_id, task in short.items():
        assert task.data.keys() == full[task_id].data.keys()
        wanted = {a.id: a for a in full[task_id].annotations}
        assert {a.id for a in task.annotations} == wanted.keys()
        for annotation in task.annotations:
            label_maps = [
                annotation_to_label_map(a, config, size_of(a))[0]
                for a in (annotation, wanted[annotation.id])
            ]
            np.testing.assert_array_equal(*label_maps)


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


def config_beside(path: Path) -> str | None:
    """The labelling configuration that belongs to a test export of the SDK."""
    suffix = path.stem.removeprefix("data")
    xml = path.parent / f"label_config{suffix}.xml"
    return xml.read_text() if xml.exists() else None


def test_the_exports_of_label_studios_own_tests_parse() -> None:
    folder = SHARED / "exports"
    if not folder.exists():
        pytest.skip(f"the exports are not beside the repository: {folder}")
    counted: dict[str, int] = {}
    refused: set[tuple[int, str]] = set()
    n_drawn = 0
    for path in sorted(folder.rglob("*.json")):
        name = f"{path.parent.name}/{path.name}"
        content = json.loads(path.read_text())
        if name in (COCO_INPUT, CONFIG_AS_JSON):
            with pytest.raises(AnnotationError):
                list(tasks_from_export(content))
            continue
        tasks = list(tasks_from_export(content))
        counted[name] = len(tasks)
        xml = config_beside(path)
        if xml is None:
            continue
        config = parse_label_config(xml)
        for annotation in (a for task in tasks for a in task.annotations):
            try:
                label_map, notes = annotation_to_label_map(annotation, config, size_of(annotation))
            except AnnotationError as error:
                refused.add((error.task_id, error.reason))
                continue
            reasons = {note.reason for note in notes}
            assert reasons <= {"thin_marked", "other_control", "hidden_region"}, name
            n_drawn += int(label_map.any())
    # Their configuration says 'butterfly', their regions 'Butterfly'.
    assert refused == {(10959, "unknown_label"), (10960, "unknown_label")}
    assert counted["test_export_yolo/data_obb.json"] == 3
    assert len(counted) == 21
    assert n_drawn == 8


@pytest.mark.parametrize(
    ("name", "tag", "label", "size_hw"),
    [
        ("test_brush_labels", "BrushLabels", "Person", (576, 768)),
        ("test_polygon_labels", "PolygonLabels", "Person", (480, 640)),
    ],
)
def test_results_of_the_yolo_backend_are_read(
    name: str, tag: str, label: str, size_hw: tuple[int, int]
) -> None:
    content = recorded(f"exports/HumanSignal__ml-backend-yolo-tests/{name}.json")
    (task,) = tasks_from_export(content)
    labels = {v for r in task.annotations[0].result for v in r["value"][tag.lower()]}
    xml = (
        f'<View><Image name="image" value="$image"/><{tag} name="label" toName="image">'
        + "".join(f'<Label value="{value}"/>' for value in sorted(labels))
        + f"</{tag}></View>"
    )
    label_map, notes = annotation_to_label_map(
        task.annotations[0], parse_label_config(xml), size_hw
    )
    assert notes == ()
    assert set(np.unique(label_map)) >= {0, 1}

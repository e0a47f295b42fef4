"""Several annotators of one task: which annotations count, and how far they agree."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.label_studio import ProjectInfo
from backend.label_studio.images import FetchedImage
from backend.pipeline.basis.annotations import label_map_of, predicted_regions
from backend.pipeline.basis.context import AppContext
from backend.pipeline.evaluate.agreement import agreement_report
from backend.pipeline.files.project_source import ProjectTasks
from backend.pipeline.sync import trigger
from backend.settings import ProjectSettings, Settings
from backend.store import Store, projects
from backend.store.models import AnnotationRow, PredictionRow, ProjectRow, VersionRow
from backend.store.tasks import snapshots
from converters.label_studio.config.label_config import parse_label_config
from converters.painting.policies import AnnotatorPolicy
from domain.annotation import Annotation, Task
from tests.fakes.queue import FakeQueue

XML = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="lumen"/><Label value="wall"/></RectangleLabels></View>'
)
CONFIG = parse_label_config(XML)
SIZE_HW = (4, 8)


def box(width: float, label: str = "lumen") -> dict[str, Any]:
    """A rectangle over the left ``width`` percent of the image."""
    value = {"x": 0, "y": 0, "width": width, "height": 100, "rectanglelabels": [label]}
    return {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}


def drawn(annotation_id: int, day: int, *regions: dict[str, Any], **more: Any) -> Annotation:
    return Annotation(annotation_id, 1, list(regions), updated_at=f"2026-01-{day:02d}", **more)


TASK = Task(
    1,
    5,
    {"image": "a.png"},
    (
        drawn(30, 1, box(50), completed_by=7, ground_truth=True),
        drawn(10, 2, box(25), completed_by=8),
        drawn(20, 3, box(75), completed_by=9),
        drawn(40, 4, was_cancelled=True, completed_by=6),
    ),
)


class FakeLabelStudio:
    """A project with one task, as the client of Label Studio gives it."""

    def __init__(self, *tasks: Task) -> None:
        self._tasks = tasks

    def project(self, project_id: int) -> ProjectInfo:
        n_submitted = sum(not a.was_cancelled for task in self._tasks for a in task.annotations)
        info = ProjectInfo(project_id, "t", XML, "", "", len(self._tasks), 0)
        n_skipped = sum(len(task.annotations) for task in self._tasks) - n_submitted
        return replace(info, n_submitted=n_submitted, n_skipped=n_skipped)

    def newest_change(self, project_id: int) -> str:
        return ""

    def iter_tasks(self, project_id: int) -> Iterator[Task]:
        return iter(self._tasks)

    def fetch_changed(self, uri: str, task_id: int, project_id: int) -> FetchedImage:
        buffer = io.BytesIO()
        Image.fromarray(np.zeros(SIZE_HW, dtype=np.uint8)).save(buffer, "PNG")
        return FetchedImage(buffer.getvalue())


@pytest.fixture
def context(tmp_path: Path) -> Iterator[AppContext]:
    settings = Settings.load(data_dir=tmp_path, database_url="")
    store = Store(settings.store_url, tmp_path)
    store.migrate()
    with store.begin() as session:
        session.add(ProjectRow(id=5, title="t", label_config=XML))
        snapshots.write_tasks(session, 5, [TASK])
    context = AppContext(settings, store, FakeQueue())
    context.__dict__["label_studio"] = FakeLabelStudio(TASK)
    yield context
    store.close()


@pytest.mark.parametrize(
    ("policy", "ids", "columns"),
    [
        ("latest", (20,), 6),
        ("ground_truth_first", (30,), 4),
        ("union", (30, 10, 20), 6),
        ("majority", (30, 10, 20), 4),
        ("staple", (30, 10, 20), 4),
    ],
)
def test_the_policy_decides(
    context: AppContext, policy: AnnotatorPolicy, ids: tuple[int, ...], columns: int
) -> None:
    with context.store.begin() as session:
        ((task, rows),) = snapshots.chosen_annotations(session, 5, policy)
    assert (task.id, tuple(row.id for row in rows)) == (1, ids)
    settings = ProjectSettings(annotator_policy=policy)
    label_map, notes = label_map_of(rows, CONFIG, SIZE_HW, settings)
    assert notes == ()
    assert label_map.tolist() == [[1] * columns + [0] * (8 - columns)] * 4


@pytest.mark.parametrize(
    ("policy", "is_due"), [("latest", False), ("majority", True), ("ground_truth_first", True)]
)
def test_an_older_annotation_that_changes_counts_where_the_policy_needs_it(
    context: AppContext, policy: AnnotatorPolicy, is_due: bool
) -> None:
    settings = ProjectSettings(annotator_policy=policy, retrain_after=1, min_annotations=2)
    second = Task(2, 5, TASK.data, (Annotation(50, 2, []),))
    changed = drawn(30, 1, box(60), completed_by=7, ground_truth=True)
    with context.store.begin() as session:
        projects.get(session, 5).settings = settings
        snapshots.write_tasks(session, 5, [second])
    with context.store.begin() as session:
        assert trigger.start(session, 5, "test") is not None
        assert not trigger.evaluate(session, 5).is_due
        snapshots.write_tasks(session, 5, [Task(1, 5, TASK.data, (changed, *TASK.annotations[1:]))])
    with context.store.begin() as session:
        assert trigger.evaluate(session, 5).is_due is is_due


def test_agreement_of_every_pair(context: AppContext) -> None:
    report = agreement_report(context, 5)
    assert report.n_tasks == 1
    dice = {
        (row.annotator_a, row.annotator_b): row.dice
        for row in report.rows
        if row.class_value == "lumen"
    }
    # 4, 2 and 6 columns of 4 pixels; the skip of annotator 6 is no annotation
    assert dice == {(7, 8): 2 * 2 / 6, (7, 9): 2 * 4 / 10, (8, 9): 2 * 2 / 8}
    assert all(row.dice is None for row in report.rows if row.class_value == "wall")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("a decoder"), "unexpected"), (MemoryError(), "out_of_memory")],
)
def test_a_task_that_fails_leaves_the_agreement_of_the_others(
    context: AppContext, error: Exception, reason: str
) -> None:
    class Failing(FakeLabelStudio):
        def fetch_changed(self, uri: str, task_id: int, project_id: int) -> FetchedImage:
            if task_id == 2:
                raise error
            return super().fetch_changed(uri, task_id, project_id)

    held = tuple(replace(a, id=a.id + 1, task_id=2) for a in TASK.annotations)
    second = Task(2, 5, TASK.data, held)
    context.__dict__["label_studio"] = Failing(TASK, second)
    report = agreement_report(context, 5)
    assert report.n_tasks == 1
    assert [(item.task_id, item.reason) for item in report.left_out] == [(2, reason)]


def test_settings_reach_the_reader() -> None:
    overlap = [box(100, "wall"), box(50)]
    row = AnnotationRow(id=1, task_id=1, result=overlap)
    top = ProjectSettings(label_priority=("wall",))
    assert (label_map_of([row], CONFIG, SIZE_HW, top)[0] == 2).all()
    plain = label_map_of([row], CONFIG, SIZE_HW, ProjectSettings())[0]
    assert plain[0].tolist() == [1] * 4 + [2] * 4


@pytest.mark.parametrize("origin", [{"origin": "prediction"}, {}])
def test_the_stored_prediction_tells_what_was_changed(
    context: AppContext, origin: dict[str, str]
) -> None:
    # Pushed under ids that don't tell by themselves, and enlarged in Label Studio since.
    predicted = [box(50) | {"id": "a"}, box(100, "wall") | {"id": "b"}]
    held = [box(75) | {"id": "a"} | origin, box(100, "wall") | {"id": "b"} | origin]
    row = AnnotationRow(id=60, project_id=5, task_id=1, result=held)
    with context.store.begin() as session:
        assert predicted_regions(session, [row]) == []
        session.add(VersionRow(id=3, project_id=5, name="v1", path=""))
        session.flush()
        session.add(PredictionRow(project_id=5, task_id=1, version_id=3, result=predicted))
    with context.store.begin() as session:
        known = predicted_regions(session, [row])
        drawn_by_hand = AnnotationRow(id=61, task_id=1, result=[box(5) | {"origin": "manual"}])
        assert predicted_regions(session, [drawn_by_hand]) == []
    assert known == predicted
    label_map, _ = label_map_of([row], CONFIG, SIZE_HW, ProjectSettings(), known)
    assert label_map[0].tolist() == [1] * 6 + [2] * 2
    (task,) = ProjectTasks(_with(context, held), 5)
    assert list(task.predicted) == predicted


def _with(context: AppContext, result: list[dict[str, Any]]) -> AppContext:
    context.__dict__["label_studio"] = FakeLabelStudio(
        Task(1, 5, TASK.data, (Annotation(60, 1, result),))
    )
    return context

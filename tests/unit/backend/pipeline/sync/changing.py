"""A project that was read, and what is done to it and asked of it then."""

from __future__ import annotations

from typing import Any

from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import AnnotationRow, TaskRow
from backend.store.tasks import snapshots
from backend.store.tasks.readings import ReadingRow
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp


def settle(app: FakeApp) -> None:
    """As if the last two readings were long ago."""
    for _ in range(2):
        with app.store.begin() as session:
            session.get_one(ReadingRow, PROJECT).seen_at = 1.0
        sync_project(app.context, PROJECT)


def read(app: FakeApp) -> list[int]:
    """The tasks that one reading reads."""
    app.label_studio.read.clear()
    sync_project(app.context, PROJECT)
    return list(app.label_studio.read)


def hint(app: FakeApp, *task_ids: int, action: str = "ANNOTATION_UPDATED") -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, action, task_ids)


def live(app: FakeApp) -> list[int]:
    with app.store.begin() as session:
        return snapshots.live_tasks(session, PROJECT)


def states(app: FakeApp) -> dict[int, TaskState]:
    with app.store.begin() as session:
        return {
            i: session.get_one(TaskRow, i).state for i in snapshots.live_tasks(session, PROJECT)
        }


def labels(app: FakeApp) -> dict[int, str]:
    """Annotation id -> the label of its first region, of those that are there."""
    with app.store.begin() as session:
        rows = session.query(AnnotationRow).filter(AnnotationRow.removed_at.is_(None))
        return {
            row.id: row.result[0]["value"]["polygonlabels"][0] if row.result else "" for row in rows
        }


def row(app: FakeApp) -> ReadingRow:
    with app.store.begin() as session:
        return session.get_one(ReadingRow, PROJECT)


def change(app: FakeApp, **values: Any) -> None:
    with app.store.begin() as session:
        for name, value in values.items():
            setattr(session.get_one(ReadingRow, PROJECT), name, value)


def agrees(app: FakeApp) -> None:
    """The store holds what Label Studio holds."""
    tasks = app.label_studio.tasks.values()
    assert live(app) == sorted(task.id for task in tasks)
    assert labels(app) == {
        a.id: a.result[0]["value"]["polygonlabels"][0] if a.result else ""
        for task in tasks
        for a in task.annotations
    }

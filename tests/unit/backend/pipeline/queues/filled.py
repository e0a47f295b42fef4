"""A project with people, tasks and versions, whose queues are filled."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from backend.label_studio import PushedPrediction, User
from backend.pipeline.queues.fill import fill_queues
from backend.pipeline.sync.reading import sync_project
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks.queues import QueueEntryRow
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon

ANNA, BEN = User(2, "anna@example.com", "Anna", "Bell"), User(3, "ben@example.com", "Ben", "Cole")

READS = {"list_users", "whoami", "drafted_tasks", "list_tabs", "draft_owners"}


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture
def lab(app: FakeApp) -> FakeApp:
    """Anna and Ben have labelled a task each of 102; the strategy is one that leaves no doubt."""
    studio = app.label_studio
    studio.users = [User(1, "admin@example.com"), ANNA, BEN]
    add_tasks(app, range(1, 103))
    studio.label(101, polygon(), by=ANNA.id, at=now())
    studio.label(102, polygon(), by=BEN.id, at=now())
    sync_project(app.context, PROJECT)
    app.change_settings(query_strategy="lowest_score")
    return app


def add_tasks(app: FakeApp, ids: range) -> None:
    for task_id in ids:
        app.label_studio.add_task(task_id)


def serve(app: FakeApp, number: int, score: float = 0.0, step: float = 0.005) -> int:
    """A version comes that has predicted all: task i has score + i * step."""
    version = app.add_version(number, published_at=time.time())
    studio = app.label_studio
    with app.store.begin() as session:
        for task in session.query(TaskRow).filter_by(project_id=PROJECT):
            value = score + step * task.id
            session.add(
                PredictionRow(
                    project_id=PROJECT,
                    task_id=task.id,
                    version_id=version,
                    score=value,
                    source=task.source,
                )
            )
            studio.predictions.append(
                PushedPrediction(task.id, [], value, f"nnloop-v{number}", task.id)
            )
    studio.set_model_version(PROJECT, f"nnloop-v{number}")
    return version


def fill(app: FakeApp) -> list[str]:
    """What is sent to Label Studio."""
    app.label_studio.calls.clear()
    fill_queues(app.context, PROJECT)
    return [name for name in app.label_studio.calls if name not in READS]


def entries(app: FakeApp, **filters: object) -> list[QueueEntryRow]:
    with app.store.begin() as session:
        return list(session.query(QueueEntryRow).filter_by(**filters).order_by(QueueEntryRow.id))


def label(app: FakeApp, task_id: int, by: User = ANNA, *, skip: bool = False) -> None:
    app.label_studio.label(task_id, polygon(), by=by.id, at=now(), was_cancelled=skip)
    sync_project(app.context, PROJECT)


def of(app: FakeApp, name: str) -> tuple[int, ...]:
    return app.label_studio.tab_of(f"nnloop: {name}")

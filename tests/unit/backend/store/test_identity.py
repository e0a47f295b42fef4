from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import select

from backend.store import identity, projects
from backend.store.models import AnnotationRow, PredictionRow, ProblemRow, ProjectRow, TaskRow
from backend.store.tasks import predictions, snapshots
from domain.annotation import Annotation, Task
from domain.case import source_of
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon

KEYS = ("image",)
EARLY, LATE = "2026-01-01T00:00:00.000000Z", "2026-02-02T00:00:00.000000Z"
TASK = Task(7, PROJECT, {"image": "/data/upload/7.png", "patient": "a"}, created_at=EARLY)


def write(app: FakeApp, *tasks: Task, keys: Sequence[str] | None = KEYS, to: int = PROJECT) -> int:
    with app.store.begin() as session:
        return snapshots.write_tasks(session, to, tasks, keys)


def row_of(app: FakeApp, task_id: int = 7) -> TaskRow:
    with app.store.begin() as session:
        return session.get_one(TaskRow, task_id)


def predict(app: FakeApp, version: int, task: TaskRow) -> None:
    with app.store.begin() as session:
        row = PredictionRow(
            project_id=task.project_id, task_id=task.id, version_id=version, published_at=1.0
        )
        row.source, row.image_hash = task.source, task.image_hash
        predictions.save(session, row)


def live(app: FakeApp, version: int) -> list[int]:
    with app.store.begin() as session:
        return sorted(predictions.find(session, version, [7, 8]))


@pytest.fixture
def predicted(app: FakeApp) -> int:
    """Task 7, read, fetched, predicted by a version, with a problem of its own."""
    version = app.add_version()
    write(app, TASK)
    task = row_of(app)
    task.image_hash, task.image_tag = "hash", "etag 1"
    with app.store.begin() as session:
        identity.keep_image(session, task)
        projects.report_problem(
            session,
            PROJECT,
            "score",
            projects.Fault("task", "It failed once."),
            task_id=7,
        )
    predict(app, version, row_of(app))
    return version


@pytest.mark.parametrize(
    ("now", "is_dead"),
    [
        (TASK, False),
        (replace(TASK, data={**TASK.data, "patient": "b"}), False),  # no image
        (replace(TASK, updated_at=LATE), False),
        (replace(TASK, created_at=""), False),  # not said
        (replace(TASK, created_at=LATE), True),  # deleted, imported again under the id
        (replace(TASK, data={"image": "/data/upload/8.png"}), True),  # PATCH
        (replace(TASK, data={}), True),
    ],
)
def test_a_prediction_dies_with_its_image(
    app: FakeApp, predicted: int, now: Task, is_dead: bool
) -> None:
    assert live(app, predicted) == [7]
    write(app, now)
    assert live(app, predicted) == ([] if is_dead else [7])
    task = row_of(app)
    assert (task.to_withdraw, task.image_hash) == ((True, "") if is_dead else (False, "hash"))
    with app.store.begin() as session:
        unscored = [t.id for t in predictions.unscored_tasks(session, PROJECT, predicted, 9)]
        assert unscored == ([7] if is_dead else [])
        assert predictions.count_unscored(session, PROJECT, predicted) == int(is_dead)
        assert predictions.counts(session, predicted) == ((0, 0, 0) if is_dead else (1, 1, 0))
        assert len(projects.open_problems(session, PROJECT)) == int(not is_dead)


def test_a_task_of_another_project_that_took_the_id(app: FakeApp, predicted: int) -> None:
    with app.store.begin() as session:
        session.add(ProjectRow(id=2, title="New"))
    write(app, replace(TASK, project_id=2, created_at=LATE), to=2)
    with app.store.begin() as session:
        assert snapshots.counts(session, 2)[TaskState.UNLABELLED] == 1
        assert snapshots.counts(session, PROJECT)[TaskState.UNLABELLED] == 0
        # What the old project's reading no longer finds takes nothing away from the new one.
        snapshots.remove_missing(session, PROJECT, [])
        assert snapshots.counts(session, 2)[TaskState.UNLABELLED] == 1
    assert live(app, predicted) == []


def test_a_row_from_before_its_identity_was_known_is_adopted(app: FakeApp) -> None:
    version = app.add_version()
    with app.store.begin() as session:
        session.add(TaskRow(id=7, project_id=PROJECT, data=TASK.data))
        session.add(TaskRow(id=8, project_id=PROJECT, data={"image": "old.png"}))
        session.flush()
        for task_id in (7, 8):
            session.add(PredictionRow(project_id=PROJECT, task_id=task_id, version_id=version))
    write(app, TASK, replace(TASK, id=8, data={"image": "new.png"}))
    assert live(app, version) == [7]  # the other had been changed by then
    assert (row_of(app, 7).to_withdraw, row_of(app, 8).to_withdraw) == (False, True)
    assert row_of(app).source == source_of(EARLY, ["/data/upload/7.png"])


def test_an_interface_that_can_not_be_read_kills_nothing(app: FakeApp, predicted: int) -> None:
    write(app, TASK, keys=None)
    assert live(app, predicted) == [7]
    write(app, replace(TASK, data={"image": "/data/upload/8.png"}), keys=None)
    assert live(app, predicted) == []


def test_an_annotation_id_that_was_given_again(app: FakeApp) -> None:
    note = Annotation(5, 7, [polygon()], created_at=EARLY)
    assert write(app, replace(TASK, annotations=(note,))) == 1
    assert write(app, replace(TASK, annotations=(note,))) == 0
    # The same words about another task under the ids of both.
    again = replace(note, created_at=LATE)
    assert write(app, replace(TASK, created_at=LATE, annotations=(again,))) == 1
    # And by a task of another id, in one reading with the task that had it.
    moved = replace(note, task_id=8, created_at=LATE)
    assert write(app, replace(TASK, id=8, annotations=(moved,)), replace(TASK)) == 1
    with app.store.begin() as session:
        (row,) = session.scalars(select(AnnotationRow))
        assert (row.id, row.task_id, row.removed_at) == (5, 8, None)


def test_an_image_overwritten_in_place(app: FakeApp, predicted: int) -> None:
    task = row_of(app)
    task.image_hash = "other"
    with app.store.begin() as session:
        assert identity.keep_image(session, task)
    assert live(app, predicted) == []
    assert row_of(app).to_withdraw
    # What a worker fetched for the task that had the id before says nothing about this one.
    write(app, replace(TASK, created_at=LATE))
    with app.store.begin() as session:
        assert not identity.keep_image(session, task)
    assert row_of(app).image_hash == ""


def test_what_was_predicted_while_the_task_changed_is_not_kept(
    app: FakeApp, predicted: int
) -> None:
    before = row_of(app)
    write(app, replace(TASK, created_at=LATE))
    predict(app, predicted, row_of(app))
    predict(app, predicted, before)
    assert live(app, predicted) == [7]


def test_dead_predictions_go_once_label_studio_holds_none(app: FakeApp, predicted: int) -> None:
    write(app, replace(TASK, created_at=LATE))
    predict(app, predicted, row_of(app))
    with app.store.begin() as session:
        predictions.mark_published(session, predicted, [7])
        assert predictions.unpublished(session, predicted, 9) == []  # the old one comes out first
        tasks = predictions.tasks_to_withdraw(session, PROJECT, 9)
        assert predictions.projects_to_withdraw(session) == [PROJECT]
    write(app, replace(TASK, created_at="2026-03-03T00:00:00.000000Z"))
    with app.store.begin() as session:
        predictions.mark_gone(session, tasks)  # it has changed once more since
        assert predictions.tasks_to_withdraw(session, PROJECT, 9) != {}
        predictions.mark_gone(session, predictions.tasks_to_withdraw(session, PROJECT, 9))
        assert session.scalars(select(PredictionRow)).all() == []
        assert predictions.projects_to_withdraw(session) == []
    with app.store.begin() as session:
        assert [row.resolved_at is None for row in session.scalars(select(ProblemRow))] == [False]

from __future__ import annotations

import time

import pytest

from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks import predictions
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp


def _save(app: FakeApp, version_id: int, task_id: int, **fields: object) -> int:
    with app.store.begin() as session:
        row = PredictionRow(project_id=PROJECT, task_id=task_id, version_id=version_id, **fields)
        predictions.save(session, row)
        session.flush()
        return row.id


def _unscored(app: FakeApp, version_id: int, limit: int = 99, *, retry: bool = True) -> list[int]:
    with app.store.begin() as session:
        found = predictions.unscored_tasks(session, PROJECT, version_id, limit, retry=retry)
        return [task.id for task in found]


def _unpublished(app: FakeApp, version_id: int) -> list[int]:
    with app.store.begin() as session:
        return [row.task_id for row in predictions.unpublished(session, version_id, 99)]


def test_unscored_are_unlabelled_live_tasks_without_a_prediction(app: FakeApp) -> None:
    version, other = app.add_version(1), app.add_version(2)
    app.add_tasks(1, 2, 3, 4)
    app.add_tasks(5, state=TaskState.LABELLED)
    app.add_tasks(6, state=TaskState.SKIPPED)
    with app.store.begin() as session:
        session.get_one(TaskRow, 4).removed_at = 1.0
        session.add(TaskRow(id=70, project_id=7))
    _save(app, version, 2)
    _save(app, other, 1)
    assert _unscored(app, version) == [1, 3]
    assert _unscored(app, version, limit=1) == [1]


def test_a_failed_task_is_tried_again_later_and_after_the_new_ones(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2, 3, 4)
    app.add_tasks(5)
    _save(app, version, 1, error="host down", not_before=time.time() - 1)
    _save(app, version, 2, error="host down", not_before=time.time() + 60)
    _save(app, version, 3, error=predictions.DROPPED, not_before=0.0)
    _save(app, version, 5, error="it never worked", not_before=None)  # set aside
    assert _unscored(app, version) == [4, 1]
    # While a run scores its pool, tasks that fail for hours must not keep it from its end.
    assert _unscored(app, version, retry=False) == [4]
    with app.store.begin() as session:
        assert predictions.retry_failed(session, version) == 3
    assert _unscored(app, version) == [4, 1, 2, 5]


def test_tries_come_after_longer_pauses_and_end() -> None:
    pauses = [predictions.next_try(attempts) for attempts in range(1, 7)]
    assert pauses[4:] == [None, None]
    waits = [moment - time.time() for moment in pauses[:4] if moment is not None]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(600, abs=5) and waits[3] == pytest.approx(86_400, abs=5)


def test_a_new_prediction_replaces_the_old_one(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1)
    _save(app, version, 1, error="bad")
    _save(app, version, 1, score=0.5)
    with app.store.begin() as session:
        found = predictions.find(session, version, [1, 2])
        assert {task_id: (row.score, row.error) for task_id, row in found.items()} == {1: (0.5, "")}


def test_unpublished_and_published(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2, 3, 4, 5)
    for task_id in (1, 2, 4, 5):
        _save(app, version, task_id)
    _save(app, version, 3, error="bad")
    with app.store.begin() as session:
        session.get_one(TaskRow, 4).removed_at = 1.0
        session.get_one(TaskRow, 5).state = TaskState.LABELLED
    assert _unpublished(app, version) == [1, 2]
    with app.store.begin() as session:
        predictions.mark_published(session, version, [1, 77])
    assert _unpublished(app, version) == [2]
    with app.store.begin() as session:
        assert predictions.counts(session, version) == (5, 1, 1)
        # A task that Label Studio deletes takes its prediction along.
        session.get_one(TaskRow, 1).removed_at = 1.0
    with app.store.begin() as session:
        assert predictions.counts(session, version) == (5, 0, 1)


def test_what_label_studio_dropped_is_not_sent_or_scored_again(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1)
    row_id = _save(app, version, 1, created_at=1.0)
    with app.store.begin() as session:
        predictions.mark_dropped(session, row_id)
        predictions.mark_dropped(session, 12345)  # replaced meanwhile: no error
    assert _unpublished(app, version) == []
    assert _unscored(app, version) == []


@pytest.mark.parametrize("age_s", [5, 15])
def test_a_push_is_due_after_the_time_label_studio_gets(app: FakeApp, age_s: float) -> None:
    version = app.add_version()
    app.add_tasks(1)
    _save(app, version, 1, created_at=time.time() - age_s)
    with app.store.begin() as session:
        assert predictions.is_push_due(session, version, 10) is (age_s > 10)
        predictions.mark_published(session, version, [1])
        assert not predictions.is_push_due(session, version, 0)


def test_of_two_answers_at_the_same_moment_one_is_kept(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_id = app.add_version()
    app.add_tasks(1)
    values = {"project_id": PROJECT, "task_id": 1, "version_id": version_id}
    with app.store.begin() as session:
        predictions.save(session, PredictionRow(**values, score=0.25))
    with app.store.begin() as session:
        # The other worker's answer is committed after this one has looked for it.
        monkeypatch.setattr(session, "scalar", lambda _query: None)
        predictions.save(session, PredictionRow(**values, score=0.75))
    with app.store.begin() as session:
        assert predictions.find(session, version_id, [1])[1].score == 0.25


def test_what_the_former_version_was_least_sure_of_comes_first(app: FakeApp) -> None:
    former, version = app.add_version(1), app.add_version(2)
    app.add_tasks(1, 2, 3, 4, 5, 6)
    _save(app, former, 2, score=0.9)
    _save(app, former, 3, score=0.2)
    _save(app, former, 4, score=0.0, error="it failed")  # its score says nothing
    _save(app, former, 5, score=0.4)
    with app.store.begin() as session:
        session.get_one(TaskRow, 5).source = "another image"  # as little as this one's
        session.flush()
        found = predictions.unscored_tasks(session, PROJECT, version, 99, former_id=former)
        assert [task.id for task in found] == [3, 2, 1, 4, 5, 6]


def test_superseded_are_the_tasks_that_have_two_versions_predictions(app: FakeApp) -> None:
    former, version = app.add_version(1), app.add_version(2)
    app.add_tasks(1, 2, 3, 4)
    for task_id, held in ((1, (former, version)), (2, (former,)), (3, (version,)), (4, ())):
        for number in (former, version):
            at = 1.0 if number in held else None
            _save(app, number, task_id, published_at=at)
    with app.store.begin() as session:
        assert predictions.superseded(session, version, [former], 99) == [1]
        assert predictions.superseded(session, version, [], 99) == []
        predictions.mark_unpublished(session, [former], [1, 3])
        assert predictions.superseded(session, version, [former], 99) == []
        assert predictions.counts(session, former)[1] == 1

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from backend.store.forget import forget_project
from backend.store.models import TaskRow
from backend.store.tasks import embeddings
from backend.store.tasks.embeddings import RETRY_S, EmbeddingRow
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp

SIZE = 8


def vector(seed: int) -> npt.NDArray[np.float32]:
    found = np.random.default_rng(seed).normal(size=SIZE)
    return np.asarray(found / np.linalg.norm(found), np.float32)


def save(app: FakeApp, task_id: int, *, is_made: bool = True, image_hash: str = "") -> None:
    with app.store.begin() as session:
        task = session.get_one(TaskRow, task_id)
        embeddings.save(session, task, image_hash, vector(task_id) if is_made else None)


def missing(app: FakeApp, limit: int = 99) -> list[int]:
    with app.store.begin() as session:
        found = [task.id for task in embeddings.missing(session, PROJECT, limit)]
        assert embeddings.is_missing_some(session, PROJECT) == bool(found)
        return found


def test_missing_are_live_tasks_that_nobody_skipped(app: FakeApp) -> None:
    app.add_tasks(1, 2, 3)
    app.add_tasks(4, state=TaskState.LABELLED)
    app.add_tasks(5, state=TaskState.SKIPPED)
    with app.store.begin() as session:
        session.get_one(TaskRow, 3).removed_at = 1.0
        session.add(TaskRow(id=70, project_id=7))
    save(app, 2)
    assert missing(app) == [4, 1]  # what has labels first
    assert missing(app, limit=1) == [4]
    save(app, 1)
    save(app, 4)
    assert missing(app) == []


def test_the_first_ones_stand_for_all(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.add_all(
            TaskRow(id=task_id, project_id=PROJECT) for task_id in range(4_000_000, 4_000_400)
        )
    order = missing(app, limit=400)
    assert sorted(order) == list(range(4_000_000, 4_000_400))
    assert order == missing(app, limit=400)
    firsts = np.array(order[:100]) - 4_000_000
    assert 190 < firsts.mean() < 210
    assert np.diff(np.sort(firsts)).max() < 8


def test_one_of_another_image_or_kind_is_dead(app: FakeApp) -> None:
    app.add_tasks(1, 2, 3, 4)
    for task_id in (1, 2, 3, 4):
        save(app, task_id, image_hash="a")
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).source = "another task"
        session.get_one(TaskRow, 2).image_hash = "b"
        session.get_one(TaskRow, 3).image_hash = "a"
        session.get_one(EmbeddingRow, (PROJECT, 4)).kind = "another network"
    assert sorted(missing(app)) == [1, 2, 4]
    with app.store.begin() as session:
        found = embeddings.of_tasks(session, PROJECT, [1, 2, 3, 4])
    assert found is not None
    assert np.isnan(found).all(axis=1).tolist() == [True, True, False, True]


def test_nothing_is_stored_of_a_task_that_became_another_meanwhile(app: FakeApp) -> None:
    app.add_tasks(1)
    with app.store.begin() as session:
        before = session.get_one(TaskRow, 1)
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).source = "another"
    with app.store.begin() as session:
        embeddings.save(session, before, "", vector(1))
    assert missing(app) == [1]


def test_what_could_not_be_read_waits(app: FakeApp) -> None:
    app.add_tasks(1)
    save(app, 1, is_made=False)
    assert missing(app) == []
    with app.store.begin() as session:
        assert embeddings.of_tasks(session, PROJECT, [1]) is None
        row = session.get_one(EmbeddingRow, (PROJECT, 1))
        assert abs(row.not_before - time.time() - RETRY_S) < 60
        row.not_before = time.time() - 1
    assert missing(app) == [1]
    save(app, 1)
    assert missing(app) == []


def test_vectors_come_back_in_the_order_asked_for(app: FakeApp) -> None:
    app.add_tasks(1, 2, 3)
    app.add_tasks(4, 5, state=TaskState.LABELLED)
    for task_id in (1, 3, 5):
        save(app, task_id)
    with app.store.begin() as session:
        pool = embeddings.of_tasks(session, PROJECT, [3, 2, 1])
        labelled = embeddings.of_labelled(session, PROJECT)
        assert embeddings.of_tasks(session, PROJECT, [2]) is None
        assert embeddings.of_labelled(session, 7) is None
    assert pool is not None and labelled is not None
    assert pool.dtype == np.float32
    assert pool.shape == (3, SIZE)
    np.testing.assert_allclose(pool[[0, 2]], [vector(3), vector(1)], atol=1e-3)
    assert np.isnan(pool[1]).all()
    np.testing.assert_allclose(labelled, [vector(5)], atol=1e-3)


def test_those_of_tasks_that_are_gone_are_deleted(app: FakeApp) -> None:
    app.add_tasks(1, 2)
    save(app, 1)
    save(app, 2)
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).removed_at = 1.0
        embeddings.prune(session, PROJECT)
        assert [row.task_id for row in session.query(EmbeddingRow)] == [2]
        forget_project(session, PROJECT)
        assert session.query(EmbeddingRow).count() == 0

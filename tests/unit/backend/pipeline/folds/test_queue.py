from __future__ import annotations

import time

import pytest

from backend.pipeline.folds.queue import (
    AHEAD,
    enqueue_folds,
    folds_in_turn,
    what_folds_wait_for,
)
from backend.queue.worker_info import WorkerInfo
from backend.store.models import FoldRow, ProjectRow, RunRow
from backend.store.training import runs
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import FakeApp


def _run(app: FakeApp, project_id: int, n_folds: int, **fields: object) -> int:
    with app.store.begin() as session:
        if session.get(ProjectRow, project_id) is None:
            session.add(ProjectRow(id=project_id))
        run = RunRow(
            **{"project_id": project_id, "number": 1, "status": RunStatus.TRAINING, **fields}
        )
        session.add(run)
        session.flush()
        session.add_all(FoldRow(run_id=run.id, fold=fold) for fold in range(n_folds))
        return run.id


def _in_turn(app: FakeApp) -> list[tuple[int, int]]:
    with app.store.begin() as session:
        return folds_in_turn(session)[0]


def _workers(app: FakeApp, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    found = [WorkerInfo(f"trainer-{i}", ("nnloop-train",), "") for i in range(n)]
    found.append(WorkerInfo("predictor", ("nnloop-loop", "nnloop-score"), ""))
    monkeypatch.setattr(app.queue, "workers", lambda: found)


def _play(app: FakeApp, n_workers: int, arrivals: dict[int, tuple[int, int]]) -> list[int]:
    """Projects in the order in which their folds start.

    ``n_workers`` take folds first come, first served, as the queue does; each lasts one round.
    ``arrivals``: round -> (project id, folds) of the run that starts then.
    """
    project_of: dict[int, int] = {}
    queue: list[tuple[int, int]] = []
    working: list[tuple[int, int]] = []
    order: list[int] = []
    for turn in range(30):
        if turn in arrivals:
            project_id, n_folds = arrivals[turn]
            project_of[_run(app, project_id, n_folds)] = project_id
        app.queue.asked.clear()
        enqueue_folds(app.context)
        for _, (run_id, fold) in app.queue.asked:
            if (run_id, fold) not in queue:
                queue.append((run_id, fold))
        with app.store.begin() as session:
            for run_id, fold in working:
                row = runs.folds_of(session, run_id)[fold]
                row.status, row.lease_until = FoldStatus.DONE, 0.0
        working = []
        while queue and len(working) < n_workers:
            run_id, fold = queue.pop(0)
            with app.store.begin() as session:
                claimed = runs.claim_fold(session, run_id, fold, "me")
                assert claimed is not None
                claimed.started_at = float(turn)
            working.append((run_id, fold))
            order.append(project_of[run_id])
            app.queue.asked.clear()
            enqueue_folds(app.context)
            for _, ids in app.queue.asked:
                if ids not in queue:
                    queue.append((ids[0], ids[1]))
    return order


def test_a_project_that_comes_second_does_not_wait_for_all_folds_of_the_first(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _workers(app, monkeypatch, 1)
    order = _play(app, 1, {0: (5, 5), 1: (6, 3)})
    assert sorted(order) == [5] * 5 + [6] * 3
    # The worker and the place ahead are taken; from there on they take turns.
    first = order.index(6)
    assert first <= 1 + AHEAD + 1
    assert order[first : first + 5] == [6, 5, 6, 5, 6]


def test_two_workers_serve_both(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    _workers(app, monkeypatch, 2)
    order = _play(app, 2, {0: (5, 5), 1: (6, 5)})
    assert sorted(order) == [5] * 5 + [6] * 5
    assert 3 <= order[2:].index(6) + 2 <= 4
    assert order[4:8].count(5) == order[4:8].count(6) == 2


def test_few_wait_at_a_time(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = _run(app, 5, 5)
    _workers(app, monkeypatch, 2)
    enqueue_folds(app.context)
    assert app.jobs == [("train_fold", (run_id, fold)) for fold in range(2 + AHEAD)]
    with app.store.begin() as session:
        for row in runs.folds_of(session, run_id)[:2]:
            row.status, row.lease_until = FoldStatus.RUNNING, time.time() + 10
    app.queue.asked.clear()
    enqueue_folds(app.context)
    assert app.jobs == [("train_fold", (run_id, 2))]


def test_of_equals_the_one_that_waited_longest(app: FakeApp) -> None:
    first, second = _run(app, 5, 2), _run(app, 6, 2)
    assert _in_turn(app) == [(first, 0), (second, 0), (first, 1), (second, 1)]
    with app.store.begin() as session:
        row = runs.folds_of(session, first)[0]
        row.status, row.started_at = FoldStatus.DONE, time.time()
    assert _in_turn(app) == [(second, 0), (first, 1), (second, 1)]


def test_only_runs_that_may_train(app: FakeApp) -> None:
    _run(app, 5, 2, control=RunControl.PAUSE)
    _run(app, 6, 2, control=RunControl.CANCEL)
    _run(app, 7, 2, status=RunStatus.PREPARING)
    assert _in_turn(app) == []
    enqueue_folds(app.context)
    assert app.jobs == []


def test_folds_that_wait_say_for_whom(app: FakeApp) -> None:
    first, second = _run(app, 1, 3), _run(app, 2, 2)
    with app.store.begin() as session:
        session.get_one(ProjectRow, 1).title = "Carotid\x1b[31m"
        assert what_folds_wait_for(session, second) == ""  # nobody is at work: they begin soon
        for row in runs.folds_of(session, first)[:2]:
            row.lease_until = time.time() + 20
        session.flush()
        assert what_folds_wait_for(session, second) == (
            "2 folds wait for a trainer; at work elsewhere: 2 folds of project 1 (Carotid)."
        )
        # Its own folds are at work: that is seen in its table.
        assert what_folds_wait_for(session, first) == ""
        for row in runs.folds_of(session, second):
            row.lease_until = time.time() + 20
        session.flush()
        assert what_folds_wait_for(session, second) == ""

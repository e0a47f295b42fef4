from __future__ import annotations

import threading
import time
from collections.abc import Callable
from unittest.mock import create_autospec

from sqlalchemy import update
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.orm import Session

from backend.settings import RunSettings
from backend.store import Store, projects
from backend.store.models import FoldRow, RunRow
from backend.store.training import runs
from domain.case import Manifest
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest


def _race(app: FakeApp, attempt: Callable[[Store], bool], n: int = 4) -> int:
    """How many of ``n`` threads, each with a connection of its own, succeed at once."""
    start = threading.Barrier(n)
    won: list[bool] = []

    def run() -> None:
        store = Store(app.context.settings.store_url, app.context.settings.data_dir)
        start.wait()
        won.append(attempt(store))
        store.close()

    threads = [threading.Thread(target=run) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == n
    return sum(won)


def test_one_run_at_a_time(app: FakeApp) -> None:
    def create(store: Store) -> bool:
        with store.begin() as session:
            return runs.create_run(session, PROJECT, "why", RunSettings()) is not None

    assert _race(app, create) == 1
    with app.store.begin() as session:
        run = runs.active_run(session, PROJECT)
        assert run is not None and run.number == 1
        runs.enter_stage(session, run, RunStatus.FAILED)
    with app.store.begin() as session:
        again = runs.create_run(session, PROJECT, "why", RunSettings())
        assert again is not None and again.number == 2
        assert runs.last_run(session, PROJECT) is again
        assert [run.number for run in runs.runs_of(session, PROJECT)] == [2, 1]


def test_a_run_is_held_by_one_job(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.QUEUED)

    def claim(store: Store) -> bool:
        with store.begin() as session:
            return runs.claim_run(session, run_id) is not None

    assert _race(app, claim) == 1
    assert app.run(run_id).lease_until > time.time()


def test_when_a_run_can_be_claimed(app: FakeApp) -> None:
    now = time.time()
    rows = {
        "free": (app.add_run(RunStatus.QUEUED, 1), True),
        "held": (app.add_run(RunStatus.PREPARING, 2, lease_until=now + 9), False),
        # Whose clock says so is not known; who sees it stand still frees it.
        "lease in the past": (app.add_run(RunStatus.PREPARING, 3, lease_until=now - 1), False),
        "pausing": (app.add_run(RunStatus.PREPARING, 4, not_before=now + 9), False),
        "over": (app.add_run(RunStatus.DONE, 5), False),
        "failed": (app.add_run(RunStatus.FAILED, 6), False),
    }
    for name, (run_id, expected) in rows.items():
        with app.store.begin() as session:
            assert (runs.claim_run(session, run_id) is not None) is expected, name
    with app.store.begin() as session:
        assert runs.claim_run(session, 12345) is None


def test_a_lease_is_changed_by_who_wrote_it_last_alone(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.PREPARING)
    with app.store.begin() as session:
        claimed = runs.claim_run(session, run_id)
        assert claimed is not None
        first = claimed.lease_until
    with app.store.begin() as session:
        assert runs.change_lease(session, run_id, first, first + 5)
        assert not runs.change_lease(session, run_id, first, 0.0)  # of a renewal before
    with app.store.begin() as session:
        assert runs.claim_run(session, run_id) is None
        assert runs.change_lease(session, run_id, first + 5, 0.0)
    with app.store.begin() as session:
        assert runs.claim_run(session, run_id) is not None


def test_a_fold_is_held_by_one_worker(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0))

    def claim(store: Store) -> bool:
        with store.begin() as session:
            name = threading.current_thread().name
            row = runs.claim_fold(session, run_id, 0, name)
            return row is not None and row.worker == name and row.status == FoldStatus.RUNNING

    assert _race(app, claim) == 1


def test_an_abandoned_fold_can_be_claimed_and_keeps_its_start(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0))
        session.add(FoldRow(run_id=run_id, fold=1, status=FoldStatus.DONE))
        session.add(FoldRow(run_id=run_id, fold=2, status=FoldStatus.FAILED))
    with app.store.begin() as session:
        assert runs.claim_fold(session, run_id, 0, "first") is not None
    with app.store.begin() as session:
        session.execute(update(FoldRow).values(lease_until=0.0))
        session.execute(update(FoldRow).where(FoldRow.fold == 0).values(started_at=5.0))
    with app.store.begin() as session:
        row = runs.claim_fold(session, run_id, 0, "second")
        assert row is not None and (row.worker, row.started_at) == ("second", 5.0)
        assert runs.claim_fold(session, run_id, 1, "second") is None
        assert runs.claim_fold(session, run_id, 2, "second") is None
        assert runs.claim_fold(session, run_id, 7, "second") is None
        assert [f.fold for f in runs.folds_of(session, run_id)] == [0, 1, 2]


def test_stages_keep_their_time_and_start_without_a_history_of_failures(app: FakeApp) -> None:
    run_id = app.add_run(
        RunStatus.PREPARING,
        attempts=3,
        not_before=9e9,
        stage_started_at=time.time() - 5,
        seconds={"preparing": 2.0},
    )
    with app.store.begin() as session:
        runs.enter_stage(session, session.get_one(RunRow, run_id), RunStatus.TRAINING)
    run = app.run(run_id)
    assert 7.0 <= run.seconds["preparing"] < 8.0
    assert (run.attempts, run.not_before, run.finished_at) == (0, 0.0, None)
    with app.store.begin() as session:
        runs.enter_stage(session, session.get_one(RunRow, run_id), RunStatus.FAILED)
    run = app.run(run_id)
    assert run.finished_at is not None
    assert runs.seconds_until(run, time.time() + 100) == run.seconds


def test_the_stage_a_run_is_in_counts_until_now(app: FakeApp) -> None:
    now = time.time()
    run_id = app.add_run(
        RunStatus.TRAINING, stage_started_at=now - 5, seconds={"preparing": 2.0, "training": 4.0}
    )
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        assert runs.seconds_until(run, now) == {"preparing": 2.0, "training": 9.0}
        runs.set_control(session, run, RunControl.PAUSE)
        found = runs.seconds_until(run, time.time() + 3)
    assert 9.0 <= found["training"] < 10.0
    assert 3.0 <= found["paused"] < 4.0


def test_the_active_runs_of_all_projects_come_without_their_manifests(app: FakeApp) -> None:
    first = app.add_run(RunStatus.TRAINING, 1, manifest=run_manifest(Manifest(())))
    app.add_run(RunStatus.DONE, 2)
    with app.store.begin() as session:
        rows = runs.active_runs(session)
        assert [row.id for row in rows] == [first]
        assert "manifest" not in rows[0].__dict__  # looked at every second: not loaded


def test_projects_are_locked_where_transactions_overlap() -> None:
    session = create_autospec(Session, instance=True)
    projects.lock(session, PROJECT)
    (statement,) = session.execute.call_args.args
    assert str(statement.compile(dialect=PGDialect())).endswith("FOR UPDATE")
    assert "FOR UPDATE" not in str(statement.compile(dialect=SQLiteDialect()))

"""Clocks that are set back, set forward and back, or differ between machines."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from backend.pipeline.runs import control, reconcile
from backend.store import clock, pauses
from backend.store.models import FoldRow, InboxRow, PredictionRow, ProjectRow, RunRow
from backend.store.tasks import embeddings, predictions
from backend.store.tasks.embeddings import EmbeddingRow
from backend.store.training import leases, runs
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.clocks import Clocks
from training.pretrained import EMBEDDING

HOUR = 3600.0


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    # On PostgreSQL, too, it is our own clock that is set here: as the server's would be.
    monkeypatch.setattr(clock, "_ahead", [])
    monkeypatch.setattr(clock, "set_by_server", lambda _: None)
    return Clocks(monkeypatch)


def _training(app: FakeApp, n_folds: int = 1) -> int:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()
        session.add_all(FoldRow(run_id=run_id, fold=fold) for fold in range(n_folds))
    return run_id


def _jobs(app: FakeApp) -> list[tuple[str, tuple[int, ...]]]:
    app.queue.asked.clear()
    reconcile.tick(app.context)
    return app.jobs


def _claims(app: FakeApp, run_id: int, worker: str) -> bool:
    with app.store.begin() as session:
        return runs.claim_fold(session, run_id, 0, worker) is not None


@pytest.mark.parametrize("moved_s", [-HOUR, 24 * HOUR])
def test_a_clock_that_is_set_takes_no_fold_from_who_trains_it(
    app: FakeApp, clocks: Clocks, moved_s: float
) -> None:
    run_id = _training(app)
    assert _claims(app, run_id, "first")
    assert _jobs(app) == []
    clocks.set_wall(moved_s)
    for _ in range(30):  # it renews its lease all the time, by whatever its clock says
        clocks.pass_s(4.0)
        with app.store.begin() as session:
            session.query(FoldRow).one().lease_until = leases.next_lease()
        assert ("train_fold", (run_id, 0)) not in _jobs(app)
        assert not _claims(app, run_id, "second")


@pytest.mark.parametrize("moved_s", [-HOUR, 24 * HOUR])
def test_the_fold_of_a_dead_worker_waits_no_hour(
    app: FakeApp, clocks: Clocks, moved_s: float
) -> None:
    run_id = _training(app)
    assert _claims(app, run_id, "killed")
    clocks.set_wall(moved_s)
    waited_s = 0.0
    while ("train_fold", (run_id, 0)) not in _jobs(app):
        clocks.pass_s(1.0)
        waited_s += 1.0
        assert waited_s <= leases.LEASE_S + 2
    assert waited_s >= leases.LEASE_S - 1
    assert _claims(app, run_id, "second")


def test_a_worker_whose_clock_is_an_hour_behind_keeps_its_run(app: FakeApp, clocks: Clocks) -> None:
    run_id = app.add_run(RunStatus.PREPARING)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()
    for _ in range(10):
        with app.store.begin() as session:
            session.get_one(RunRow, run_id).lease_until = time.time() - HOUR
        assert ("advance", (run_id,)) not in _jobs(app)
        clocks.pass_s(5.0)


def test_a_cancelled_run_of_a_dead_worker_ends(app: FakeApp, clocks: Clocks) -> None:
    run_id = _training(app)
    assert _claims(app, run_id, "killed")
    assert control.cancel(app.context, PROJECT) == "Run 1 is being cancelled."
    clocks.set_wall(-HOUR)
    for _ in range(int(leases.LEASE_S) + 2):
        _jobs(app)
        clocks.pass_s(1.0)
    assert app.run(run_id).status == RunStatus.CANCELLED


@pytest.mark.parametrize("status", [RunStatus.PREPARING, RunStatus.EVALUATING])
def test_a_step_that_kills_its_workers_is_tried_ever_less_often_and_given_up(
    app: FakeApp, clocks: Clocks, status: RunStatus
) -> None:
    run_id = app.add_run(status)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()
    waited = [0.0]
    for _ in range(5 * 3600):
        if ("advance", (run_id,)) in _jobs(app):
            with app.store.begin() as session:
                assert runs.claim_run(session, run_id) is not None  # and the worker dies
            waited.append(0.0)
        if app.run(run_id).status == RunStatus.FAILED:
            break
        clocks.pass_s(2.0)
        waited[-1] += 2.0
    assert len(waited) == runs.MAX_ATTEMPTS + 1
    pauses_s = [after - leases.LEASE_S for after in waited[1:-1]]
    assert pauses_s == pytest.approx([5 * 2**n for n in range(runs.MAX_ATTEMPTS - 1)], abs=4)
    assert app.run(run_id).error == (
        "The worker that had the run died at it, or stood still. Its log and the system's log may "
        "say why: often memory ran out. Given up after 8 attempts."
    )


def _run_pauses(app: FakeApp) -> Callable[[], bool]:
    run_id = app.add_run(RunStatus.PREPARING, attempts=2, not_before=clock.now() + 10)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()

    def is_due() -> bool:
        asked = ("advance", (run_id,)) in _jobs(app)
        with app.store.begin() as session:
            claimed = runs.claim_run(session, run_id)
            assert (claimed is not None) is asked
            session.rollback()
        return asked

    return is_due


def _project_pauses(app: FakeApp) -> Callable[[], bool]:
    with app.store.begin() as session:
        pauses.lengthen(session, PROJECT, "score")

    def is_due() -> bool:
        with app.store.begin() as session:
            is_paused = pauses.is_paused(session, PROJECT, "score")
            assert ((PROJECT, "score") in pauses.paused(session)) is is_paused
            return not is_paused

    return is_due


def _task_pauses(app: FakeApp) -> Callable[[], bool]:
    version = app.add_version(published_at=1.0)
    app.add_tasks(1)
    with app.store.begin() as session:
        row = PredictionRow(project_id=PROJECT, task_id=1, version_id=version)
        row.error, row.attempts, row.not_before = "No image.", 1, predictions.next_try(1)
        session.add(row)

    def is_due() -> bool:
        with app.store.begin() as session:
            return bool(predictions.unscored_tasks(session, PROJECT, version, 1))

    return is_due


def _embedding_pauses(app: FakeApp) -> Callable[[], bool]:
    app.add_tasks(1)
    with app.store.begin() as session:
        session.add(
            EmbeddingRow(
                project_id=PROJECT,
                task_id=1,
                kind=EMBEDDING,
                not_before=clock.now() + embeddings.RETRY_S,
            )
        )

    def is_due() -> bool:
        with app.store.begin() as session:
            return embeddings.is_missing_some(session, PROJECT)

    return is_due


def _push_pauses(app: FakeApp) -> Callable[[], bool]:
    version = app.add_version(published_at=1.0)
    app.add_tasks(1)
    with app.store.begin() as session:
        session.add(PredictionRow(project_id=PROJECT, task_id=1, version_id=version))

    def is_due() -> bool:
        with app.store.begin() as session:
            return predictions.is_push_due(session, version, reconcile.PUSH_AFTER_S)

    return is_due


def _timer_waits(app: FakeApp) -> Callable[[], bool]:
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()
    return lambda: ("sync", (PROJECT,)) in _jobs(app)


def _hint_waits(app: FakeApp) -> Callable[[], bool]:
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()
        session.add(InboxRow(project_id=PROJECT, action="X"))
    return lambda: ("sync", (PROJECT,)) in _jobs(app)


WAITS = {
    "a run's next try": (_run_pauses, 10.0),
    "a project's next try": (_project_pauses, pauses.FIRST_S),
    "a task's next try": (_task_pauses, predictions.RETRY_PAUSES_S[0]),
    "an embedding's next try": (_embedding_pauses, embeddings.RETRY_S),
    "a push": (_push_pauses, reconcile.PUSH_AFTER_S),
    "the timer": (_timer_waits, 60.0),
    "a hint": (_hint_waits, 2.0),
}


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("moved_s", [-24 * HOUR, -HOUR, -3.0, 0.0])
def test_nothing_waits_longer_for_a_clock_that_was_set_back(
    app: FakeApp, clocks: Clocks, name: str, moved_s: float
) -> None:
    begin, span_s = WAITS[name]
    is_due = begin(app)
    if moved_s == 0.0:
        assert not is_due()
    clocks.set_wall(moved_s)
    clocks.pass_s(span_s + 0.01)
    # Set back by less than its span, it waits for that much more: never twice as long.
    if -moved_s < span_s:
        clocks.pass_s(-moved_s)
    assert is_due()


def test_a_hint_behind_a_reading_of_the_future_is_read_once(app: FakeApp, clocks: Clocks) -> None:
    # The clock was a day ahead, and read so; then it was set right.
    clocks.set_wall(24 * HOUR)
    with app.store.begin() as session:
        row = session.get_one(ProjectRow, PROJECT)
        row.synced_at = row.sync_asked_at = clock.now()
    clocks.set_wall(-24 * HOUR)
    with app.store.begin() as session:
        session.add(InboxRow(project_id=PROJECT, action="X"))
    clocks.pass_s(app.context.settings.debounce_s + 0.01)
    assert ("sync", (PROJECT,)) in _jobs(app)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = clock.now()
        session.query(InboxRow).one().handled_at = clock.now()
    for _ in range(30):
        clocks.pass_s(1.0)
        assert ("sync", (PROJECT,)) not in _jobs(app)


def test_a_budget_does_not_grow_by_a_clock_that_was_set_back(app: FakeApp, clocks: Clocks) -> None:
    run_id = _training(app)
    clocks.pass_s(10.0)
    clocks.set_wall(-HOUR)
    assert runs.seconds_in(app.run(run_id), RunStatus.TRAINING, clock.now()) == 0.0
    with app.store.begin() as session:
        fold = session.query(FoldRow).one()
        fold.status = FoldStatus.DONE
        runs.enter_stage(session, session.get_one(RunRow, run_id), RunStatus.EVALUATING)
    assert app.run(run_id).seconds[RunStatus.TRAINING] == 0.0


def test_a_server_clock_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ahead", [])
    clocks = Clocks(monkeypatch)
    assert clock.now() == time.time()
    clock.set_by_server(5_000.0)
    clocks.set_wall(-HOUR)  # our own clock counts no more
    clocks.pass_s(7.0)
    assert clock.now() == pytest.approx(5_007.0)


def test_the_clock_of_all_machines_is_the_servers(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_ahead", [])
    real = time.time()
    Clocks(monkeypatch).set_wall(-HOUR)
    with app.store.begin() as session:
        session.execute(text("SELECT 1"))
        said = clock.now() - real
    expected = 0.0 if app.store.engine.dialect.name == "postgresql" else -HOUR
    assert said == pytest.approx(expected, abs=60.0)

from __future__ import annotations

import time

import pytest
from sqlalchemy.exc import OperationalError

from backend.pipeline.folds.ledger import FoldLedger
from backend.store.models import FoldRow
from backend.store.training import leases, runs
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import FakeApp
from tests.fakes.documents import fold_result
from training.folds.spec import EpochProgress


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("backend.pipeline.folds.ledger.time.monotonic", found)
    return found


def _row(app: FakeApp) -> FoldRow:
    with app.store.begin() as session:
        return session.query(FoldRow).one()


@pytest.fixture
def ledger(app: FakeApp, clock: Clock) -> FoldLedger:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0))
    with app.store.begin() as session:
        claimed = runs.claim_fold(session, run_id, 0, "me")
        assert claimed is not None
        claimed.lease_until = 1.0
    return FoldLedger(app.store, claimed, "me")


def test_the_lease_is_renewed_well_before_it_ends(
    app: FakeApp, clock: Clock, ledger: FoldLedger
) -> None:
    clock.now += leases.LEASE_S / 5 - 0.1
    ledger.heartbeat()
    assert _row(app).lease_until == 1.0  # too early to write
    clock.now += 1.2
    ledger.heartbeat()
    assert _row(app).lease_until > time.time() + leases.LEASE_S - 5
    assert not ledger.should_stop


def test_the_time_left_counts_down_between_epochs(
    app: FakeApp, clock: Clock, ledger: FoldLedger
) -> None:
    ledger.progress(EpochProgress(0, 1, 9, -0.1, -0.1, None, 1.0, 0.0, None, 90.0))
    assert _row(app).eta_s == 90.0
    clock.now += 30.0
    ledger.heartbeat()
    assert _row(app).eta_s == pytest.approx(60.0)
    clock.now += 300.0
    ledger.heartbeat()
    assert _row(app).eta_s == 0.0


def test_a_loss_that_is_no_number_is_unknown(app: FakeApp, ledger: FoldLedger) -> None:
    ledger.progress(EpochProgress(0, 1, 9, float("nan"), float("inf"), 0.5, 1.0, 0.0, None, 9.0))
    row = _row(app)
    assert (row.epoch, row.train_loss, row.val_loss, row.dice) == (1, None, None, 0.5)


def test_a_store_that_is_away_ends_no_training(
    app: FakeApp, clock: Clock, ledger: FoldLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OperationalError("BEGIN", {}, Exception("the server restarts"))

    with monkeypatch.context() as away:
        away.setattr(app.store, "begin", refuse)
        clock.now += leases.LEASE_S
        ledger.heartbeat()
        ledger.progress(EpochProgress(0, 1, 9, -0.1, -0.1, None, 1.0, 0.0))
    assert not ledger.should_stop
    clock.now += 2.0
    ledger.heartbeat()
    assert _row(app).lease_until > time.time()


def test_a_worker_that_stood_still_gives_way_to_another(
    app: FakeApp, clock: Clock, ledger: FoldLedger
) -> None:
    with app.store.begin() as session:
        row = session.query(FoldRow).one()
        row.worker, row.epoch = "another", 7
    ledger.progress(EpochProgress(0, 2, 9, -0.1, -0.1, None, 1.0, 0.0))
    assert (_row(app).epoch, _row(app).lease_until) == (7, 1.0)
    clock.now += 2.0
    ledger.heartbeat()
    assert ledger.should_stop
    ledger.interrupted()
    assert (_row(app).worker, _row(app).status) == ("another", FoldStatus.RUNNING)


@pytest.mark.parametrize("is_reused", [False, True])
def test_a_fold_that_was_forgotten_ends_and_is_no_other(
    app: FakeApp, clock: Clock, ledger: FoldLedger, is_reused: bool
) -> None:
    """Its project was disconnected, or an older store restored, while its worker stood still."""
    with app.store.begin() as session:
        row = session.query(FoldRow).one()
        row_id, run_id = row.id, row.run_id
        session.delete(row)
    if is_reused:  # SQLite gives both ids again
        with app.store.begin() as session:
            session.add(FoldRow(id=row_id, run_id=run_id, fold=0))
        with app.store.begin() as session:
            assert runs.claim_fold(session, run_id, 0, "another") is not None
    ledger.progress(EpochProgress(0, 2, 9, -0.1, -0.1, None, 1.0, 0.0))
    clock.now += 2.0
    ledger.heartbeat()
    assert ledger.should_stop
    ledger.done(fold_result(epochs=9))
    ledger.failed("The child died.")
    ledger.interrupted()
    if is_reused:
        row = _row(app)
        assert (row.status, row.result, row.epoch) == (FoldStatus.RUNNING, None, 0)


@pytest.mark.parametrize("end", ["failed", "interrupted"])
def test_a_worker_that_stopped_late_takes_back_no_result(
    app: FakeApp, ledger: FoldLedger, end: str
) -> None:
    # Another one had the fold before, stood still, and ended it after all.
    FoldLedger(app.store, _row(app), "before").done(fold_result(epochs=9))
    ledger.failed("The child died.") if end == "failed" else ledger.interrupted()
    assert (_row(app).status, _row(app).error, _row(app).attempts) == (FoldStatus.DONE, "", 0)


def test_a_result_that_comes_too_late_brings_no_failed_fold_back(
    app: FakeApp, ledger: FoldLedger
) -> None:
    with app.store.begin() as session:
        runs.move_fold(session, session.query(FoldRow).one(), FoldStatus.FAILED)
    ledger.done(fold_result(epochs=9))
    assert (_row(app).status, _row(app).result) == (FoldStatus.FAILED, None)


def test_a_fold_that_is_over_is_not_trained_on(
    app: FakeApp, clock: Clock, ledger: FoldLedger
) -> None:
    with app.store.begin() as session:
        session.query(FoldRow).one().status = FoldStatus.DONE
    clock.now += 2.0
    ledger.heartbeat()
    assert ledger.should_stop

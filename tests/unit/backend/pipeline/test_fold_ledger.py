from __future__ import annotations

import time

import pytest

from backend.pipeline.fold_ledger import FoldLedger
from backend.store import runs
from backend.store.models import FoldRow
from domain.status import RunStatus
from tests.fakes.app import FakeApp
from training.folds import EpochProgress


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("backend.pipeline.fold_ledger.time.monotonic", found)
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
    clock.now += runs.LEASE_S / 5 - 0.1
    ledger.heartbeat()
    assert _row(app).lease_until == 1.0  # too early to write
    clock.now += 1.2
    ledger.heartbeat()
    assert _row(app).lease_until > time.time() + runs.LEASE_S - 5
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

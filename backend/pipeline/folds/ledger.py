"""Writes what happens to one fold into its row, and reads there whether it should go on."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from backend.queue import stop_requested
from backend.store import Store, clock
from backend.store.models import FoldRow
from backend.store.training import leases, runs
from backend.store.training.runs import may_go_on
from domain.states import FoldStatus
from training.evaluation import mean_over_classes
from training.folds.spec import EpochProgress, FoldResult

logger = logging.getLogger(__name__)

# A person who pauses or cancels a run looks on: its trainings end within about this time.
CONTROL_S = 1.0


class FoldLedger:
    """The row of a fold that this worker trains.

    A store that does not answer for a while (a database that restarts) is no reason to end a
    training: while it is away nobody else can take the fold, and when it is back the row tells
    whether another worker has.
    """

    def __init__(self, store: Store, row: FoldRow, worker: str) -> None:
        """Takes the row as it was claimed, and the name under which this worker has claimed it."""
        self._store = store
        self._fold_id = row.id
        self._is_of = (row.run_id, row.fold, row.started_at)
        self._worker = worker
        self._epoch_at_start = row.epoch
        self._looked = self._renewed = time.monotonic()
        self._ends_at: float | None = None
        self._is_over = False

    @property
    def should_stop(self) -> bool:
        """Whether the training is to end: the worker stops, or the run or the fold is not ours."""
        return stop_requested() or self._is_over

    def progress(self, epoch: EpochProgress) -> None:
        """Notes a finished epoch."""
        with self._surviving(), self._store.begin() as session:
            row = self._find(session)
            if row is None or row.worker != self._worker:
                return
            row.epoch, row.epochs = epoch.epoch, epoch.epochs
            if epoch.epoch > self._epoch_at_start:
                row.error = ""  # it got further than the attempt that failed
            row.dice = epoch.dice
            # One bad batch makes a mean NaN, which JSON and some databases do not take.
            row.train_loss, row.val_loss = _number(epoch.train_loss), _number(epoch.val_loss)
            if epoch.mean_case_dice is not None:
                row.case_dice = epoch.mean_case_dice
            if epoch.eta_s is not None:
                row.eta_s = epoch.eta_s
                self._ends_at = time.monotonic() + epoch.eta_s
            row.lease_until = leases.next_lease()

    def heartbeat(self) -> None:
        """Renews the lease now and then; looks every second whether the fold is to go on."""
        now = time.monotonic()
        if now - self._looked < CONTROL_S:
            return
        self._looked = now
        with self._surviving(), self._store.begin() as session:
            row = self._find(session)
            if row is None or not self._is_ours(row) or not may_go_on(session, row.run_id):
                self._is_over = True
                return
            self._is_over = False
            if now - self._renewed < leases.LEASE_S / 5:
                return
            self._renewed = now
            row.lease_until = leases.next_lease()
            if self._ends_at is not None:
                row.eta_s = max(0.0, self._ends_at - now)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError:
            logger.warning("Fold row %d could not be written.", self._fold_id, exc_info=True)

    def done(self, result: FoldResult) -> None:
        """Keeps the result."""
        with self._store.begin() as session:
            row = self._find(session)
            if row is None or row.status == FoldStatus.FAILED:
                return  # given up meanwhile, and the run with it
            if row.status != FoldStatus.DONE:  # else another worker has trained it to its end, too
                runs.move_fold(session, row, FoldStatus.DONE)
            row.error = ""
            row.finished_at = clock.now()
            row.epoch = row.epochs = result.epochs
            row.case_dice = mean_over_classes(result.dice_per_class)
            row.result = result

    def failed(self, message: str, *, is_final: bool = False) -> None:
        """Keeps the reason; the fold is tried again, unless it failed before and got no further."""
        with self._store.begin() as session:
            row = self._find(session)
            if row is None or not self._is_ours(row):
                return
            is_final = is_final or bool(row.error)
            runs.move_fold(session, row, FoldStatus.FAILED if is_final else FoldStatus.QUEUED)
            row.error = message

    def interrupted(self) -> None:
        """Gives the fold back; that was no failure, so it costs no attempt."""
        with self._store.begin() as session:
            row = self._find(session)
            if row is None or not self._is_ours(row):
                return
            runs.move_fold(session, row, FoldStatus.QUEUED)
            row.attempts -= 1

    def _find(self, session: Session) -> FoldRow | None:
        """The fold's row; None when it was forgotten, with its project or by an older store.

        Its id is another fold's then, or will be.
        """
        row = session.get(FoldRow, self._fold_id)
        if row is None or (row.run_id, row.fold, row.started_at) != self._is_of:
            return None
        return row

    def _is_ours(self, row: FoldRow) -> bool:
        """False when this worker stood still for longer than its lease, and another has the fold.

        Or had it, and is done.
        """
        return row.worker == self._worker and row.status == FoldStatus.RUNNING


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None

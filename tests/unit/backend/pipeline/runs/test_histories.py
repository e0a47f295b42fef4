"""Random histories of a run: steps, ends, killed workers, lost leases, late and doubled jobs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from hypothesis.stateful import run_state_machine_as_test as play

from backend.pipeline.basis.context import AppContext
from backend.pipeline.cases import prepare
from backend.pipeline.folds import train
from backend.pipeline.folds.ledger import FoldLedger
from backend.pipeline.folds.train import WorkerDevice, train_fold
from backend.pipeline.gate import judge_run
from backend.pipeline.runs import control, ends, reconcile, stages
from backend.store.models import FoldRow, RunRow
from backend.store.training import leases, runs
from domain.case import Manifest
from domain.errors import LabelStudioError, NotEnoughCasesError, TrainingError
from domain.states import CONTROL, FOLD, RUN, FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest
from training.folds.spec import FoldResult, FoldSpec

MANIFEST = run_manifest(Manifest((), class_values=("lumen",), n_folds=2))
OUTCOMES = ("well",) * 4 + ("killed",) * 2 + ("worse", "Label Studio is away", "no use", "a bug")


class WorkerKilledError(BaseException):
    """What nothing catches, as a SIGKILL: no lease is given back."""


class Histories(RuleBasedStateMachine):
    """One run after the other of a project, and everything that can happen to them."""

    database: Path
    patch: pytest.MonkeyPatch

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.app = FakeApp(Path(self.folder.name), self.database)
        self.late: list[FoldLedger] = []
        self.outcome = "well"
        self.seen: dict[tuple[str, int], str] = {}
        self.n_workers = 0
        self.patch.setattr(prepare, "prepare_run", self._prepare)
        self.patch.setattr(judge_run, "evaluate_run", lambda *_: self._end_step())
        self.patch.setattr(train, "run_fold", self._train)

    @initialize()
    def a_run(self) -> None:
        self.run_id = self.app.add_run(RunStatus.QUEUED)

    @property
    def is_over(self) -> bool:
        return RunStatus(self.app.run(self.run_id).status).is_final

    def teardown(self) -> None:
        self.app.store.close()
        self.folder.cleanup()

    def _end_step(self) -> bool:
        if self.outcome == "killed":
            raise WorkerKilledError
        if self.outcome == "Label Studio is away":
            raise LabelStudioError("Label Studio is away.")
        if self.outcome == "no use":
            raise NotEnoughCasesError("Only 1 task.")
        if self.outcome == "a bug":
            raise ValueError("a bug")
        return self.outcome == "well"

    def _prepare(self, context: AppContext, run_id: int, *_: object) -> None:
        self._end_step()
        with context.store.begin() as session:
            session.get_one(RunRow, run_id).manifest = MANIFEST
            if not runs.folds_of(session, run_id):
                session.add_all(FoldRow(run_id=run_id, fold=fold) for fold in (0, 1))

    def _train(self, spec: FoldSpec, *_: object, **__: object) -> FoldResult | None:
        if self.outcome in {"killed", "a bug"}:
            self._end_step()
        if self.outcome == "no use":
            raise TrainingError("The child died.")
        return self._result(spec.fold) if self.outcome == "well" else None

    def _result(self, fold: int) -> FoldResult:
        return fold_result({"a": {"lumen": 0.5}}, fold=fold, epochs=4)

    @precondition(lambda self: not self.is_over)
    @rule(outcome=st.sampled_from(OUTCOMES))
    def a_job_moves_the_run(self, outcome: str) -> None:
        self.outcome = outcome
        try:
            stages.advance(self.app.context, self.run_id)
        except WorkerKilledError:
            with self.app.store.begin() as session:  # the lease was still being renewed
                session.get_one(RunRow, self.run_id).lease_until = leases.next_lease()

    @precondition(lambda self: not self.is_over)
    @rule(fold=st.sampled_from([0, 1]), outcome=st.sampled_from(OUTCOMES))
    def a_worker_trains_a_fold(self, fold: int, outcome: str) -> None:
        self.outcome = outcome
        self.n_workers += 1
        worker = f"worker {self.n_workers}"
        try:
            train_fold(self.app.context, self.run_id, fold, WorkerDevice(), worker)
        except WorkerKilledError:
            # Killed, or only standing still: then it comes back late.
            with self.app.store.begin() as session:
                row = runs.folds_of(session, self.run_id)[fold]
            self.late.append(FoldLedger(self.app.store, row, row.worker))

    @precondition(lambda self: self.late)
    @rule(said=st.sampled_from(["done", "failed", "interrupted"]), data=st.data())
    def a_worker_that_stood_still_comes_back(self, said: str, data: st.DataObject) -> None:
        ledger = data.draw(st.sampled_from(self.late))  # more than once, too
        if said == "done":
            ledger.done(self._result(0))
        elif said == "failed":
            ledger.failed("The child died.")
        else:
            ledger.interrupted()

    @precondition(lambda self: not self.is_over)
    @rule(stage=st.sampled_from([RunStatus.SCORING, RunStatus.PUBLISHING]), fails=st.booleans())
    def a_job_scores_or_publishes(self, stage: RunStatus, fails: bool) -> None:
        if control.stands_still(self.app.context, PROJECT, stage):
            return
        with ends.step_of_run(self.app.context, PROJECT, stage):
            if fails:
                raise LabelStudioError("Label Studio is away.")
            after = ends.pool_scored if stage == RunStatus.SCORING else ends.published
            after(self.app.context, PROJECT)

    @precondition(lambda self: self.is_over)
    @rule()
    def jobs_come_too_late(self) -> None:
        stages.advance(self.app.context, self.run_id)
        train_fold(self.app.context, self.run_id, 0, WorkerDevice(), "late")
        ends.finish(self.app.context, self.run_id)
        ends.fail(self.app.context, self.run_id, "Too late.")
        ends.retry(self.app.context, self.run_id, ValueError("too late"))

    @rule(act=st.sampled_from([control.pause, *[control.resume] * 3, control.cancel]))
    def a_person_wants_something(self, act: Callable[[AppContext, int], str]) -> None:
        assert act(self.app.context, PROJECT)

    @rule()
    def leases_and_pauses_run_out(self) -> None:
        with self.app.store.begin() as session:
            for row in (*session.query(RunRow), *session.query(FoldRow)):
                row.lease_until = 0.0
            session.get_one(RunRow, self.run_id).not_before = 0.0

    @rule()
    def the_clock_ticks(self) -> None:
        reconcile.tick(self.app.context)

    @precondition(lambda self: self.is_over)
    @rule(status=st.sampled_from([RunStatus.QUEUED, RunStatus.TRAINING]))
    def another_run(self, status: RunStatus) -> None:
        number = self.app.run(self.run_id).number + 1
        self.run_id = self.app.add_run(status, number, manifest=MANIFEST)
        if status == RunStatus.TRAINING:
            self.outcome = "well"
            self._prepare(self.app.context, self.run_id)

    @invariant()
    def every_change_is_in_the_tables(self) -> None:
        with self.app.store.begin() as session:
            rows = list(session.query(RunRow))
            folds = list(session.query(FoldRow))
        assert sum(not RunStatus(row.status).is_final for row in rows) <= 1
        for row in rows:
            self._follow("run", row.id, row.status, RUN.allowed)
            self._follow("control", row.id, row.control, CONTROL.allowed)
            if row.status == RunStatus.CANCELLED:
                assert row.control == RunControl.CANCEL
            assert (row.finished_at is not None) == RunStatus(row.status).is_final
        for fold in folds:
            self._follow("fold", fold.id, fold.status, FOLD.allowed)
            if fold.lease_until > time.time():
                assert fold.status == FoldStatus.RUNNING

    def _follow(self, kind: str, row_id: int, now: str, allowed: frozenset[tuple]) -> None:  # type: ignore[type-arg]
        """One rule may take a row several steps; each of them is in the table."""
        before = self.seen.get((kind, row_id), now)
        reached = {before}
        while more := {b for a, b in allowed if a in reached} - reached:
            reached |= more
        assert now in reached, f"{kind} {row_id}: {before} -> {now}"
        self.seen[kind, row_id] = now


@pytest.mark.slow
def test_no_history_leaves_the_tables(
    migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Histories, "database", migrated_database, raising=False)
    monkeypatch.setattr(Histories, "patch", monkeypatch, raising=False)
    play(Histories, settings=settings(max_examples=10, stateful_step_count=50, deadline=None))

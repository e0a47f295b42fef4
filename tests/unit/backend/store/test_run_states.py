from __future__ import annotations

import ast
import time
from typing import Any

import pytest

from backend.store.models import FoldRow, RunRow
from backend.store.training import runs
from domain.errors import TransitionError
from domain.state_machine import StateMachine
from domain.states import CONTROL, FOLD, RUN, FoldStatus, RunControl, RunStatus
from tests.fakes.app import FakeApp
from tests.unit.packaging.paths import ROOT


def _forbidden(machine: StateMachine[Any]) -> list[tuple[Any, Any]]:
    pairs = [(a, b) for a in machine.states for b in machine.states]
    return [pair for pair in pairs if pair not in machine.allowed]


@pytest.mark.parametrize(("before", "after"), _forbidden(RUN), ids=str)
def test_a_run_is_refused_what_the_table_does_not_have(
    app: FakeApp, before: RunStatus, after: RunStatus
) -> None:
    run_id = app.add_run(before, attempts=3, seconds={"x": 1.0}, lease_until=7.0)
    with pytest.raises(TransitionError), app.store.begin() as session:
        runs.enter_stage(session, session.get_one(RunRow, run_id), after)
    run = app.run(run_id)
    assert (run.status, run.attempts, run.seconds, run.lease_until, run.finished_at) == (
        before,
        3,
        {"x": 1.0},
        7.0,
        None,
    )


@pytest.mark.parametrize(("before", "after"), sorted(RUN.allowed), ids=str)
def test_a_run_moves_and_keeps_its_lease_where_somebody_is_at_work(
    app: FakeApp, before: RunStatus, after: RunStatus
) -> None:
    run_id = app.add_run(before, lease_until=7.0)
    with app.store.begin() as session:
        runs.enter_stage(session, session.get_one(RunRow, run_id), after)
    run = app.run(run_id)
    is_held = after in {RunStatus.PREPARING, RunStatus.EVALUATING}
    assert (run.status, run.lease_until) == (after, 7.0 if is_held else 0.0)
    assert (run.finished_at is not None) == RunStatus(after).is_final


@pytest.mark.parametrize("wanted", [RunControl.RUN, RunControl.PAUSE])
def test_a_run_to_be_cancelled_is_not_wanted_back(app: FakeApp, wanted: RunControl) -> None:
    run_id = app.add_run(RunStatus.TRAINING, control=RunControl.CANCEL)
    message = f"cancel can't become {wanted}"
    with pytest.raises(TransitionError, match=message), app.store.begin() as session:
        runs.set_control(session, session.get_one(RunRow, run_id), wanted)
    assert app.run(run_id).control == RunControl.CANCEL


@pytest.mark.parametrize("status", RUN.final)
@pytest.mark.parametrize("wanted", [RunControl.PAUSE, RunControl.CANCEL])
def test_nothing_is_wanted_of_a_run_that_is_over(
    app: FakeApp, status: RunStatus, wanted: RunControl
) -> None:
    run_id = app.add_run(status, seconds={"x": 1.0})
    with pytest.raises(TransitionError, match=f"is {status}"), app.store.begin() as session:
        runs.set_control(session, session.get_one(RunRow, run_id), wanted)
    assert (app.run(run_id).control, app.run(run_id).seconds) == (RunControl.RUN, {"x": 1.0})


@pytest.mark.parametrize(("before", "after"), sorted(CONTROL.allowed), ids=str)
def test_a_person_may_change_their_mind(
    app: FakeApp, before: RunControl, after: RunControl
) -> None:
    run_id = app.add_run(RunStatus.TRAINING, control=before)
    for _ in range(2):  # wanted twice is wanted once
        with app.store.begin() as session:
            runs.set_control(session, session.get_one(RunRow, run_id), after)
    assert app.run(run_id).control == after


@pytest.mark.parametrize(("before", "after"), _forbidden(FOLD), ids=str)
def test_a_fold_is_refused_what_the_table_does_not_have(
    app: FakeApp, before: FoldStatus, after: FoldStatus
) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, status=before, lease_until=7.0, eta_s=8.0))
    with pytest.raises(TransitionError), app.store.begin() as session:
        runs.move_fold(session, session.query(FoldRow).one(), after)
    with app.store.begin() as session:
        row = session.query(FoldRow).one()
    assert (row.status, row.lease_until, row.eta_s) == (before, 7.0, 8.0)


def test_what_another_process_wrote_meanwhile_counts(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.SCORING)
    stale = app.run(run_id)
    with app.store.begin() as session:
        runs.enter_stage(session, session.get_one(RunRow, run_id), RunStatus.CANCELLED)
    with pytest.raises(TransitionError, match="cancelled"), app.store.begin() as session:
        session.add(stale)
        runs.enter_stage(session, stale, RunStatus.PUBLISHING)
    assert app.run(run_id).status == RunStatus.CANCELLED


def test_a_claim_takes_what_the_table_lets_run(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        for fold, status in enumerate(FoldStatus):
            session.add(FoldRow(run_id=run_id, fold=fold, status=status))
        for fold, status in enumerate(FoldStatus):
            claimed = runs.claim_fold(session, run_id, fold, "me")
            assert (claimed is not None) == ((status, FoldStatus.RUNNING) in FOLD.allowed)
            assert claimed is None or claimed.lease_until > time.time()


@pytest.mark.slow
def test_no_other_module_writes_a_state() -> None:
    """``row.status = ...`` and ``row.control = ...`` stand in the ledger alone."""
    # A version's status is the gate's and a person's matter.
    allowed = {"backend/store/training/runs.py", "backend/store/training/versions.py"}
    writers = set()
    for folder in ("backend", "training", "active_learning"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                targets = node.targets if isinstance(node, ast.Assign) else []
                for target in targets:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Attribute) and part.attr in {"status", "control"}:
                            writers.add(str(path.relative_to(ROOT)))
    assert writers == allowed

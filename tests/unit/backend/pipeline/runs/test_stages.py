from __future__ import annotations

import errno
import time
from collections.abc import Callable

import pytest

from backend.pipeline.basis.context import AppContext
from backend.pipeline.cases import prepare
from backend.pipeline.gate import judge_run
from backend.pipeline.runs import ends, stages
from backend.queue import JobName
from backend.store import projects
from backend.store.models import FoldRow, RunRow
from backend.store.training import leases
from backend.store.training import runs as ledger
from domain.case import Manifest
from domain.errors import LabelStudioError, NnloopError, NotEnoughCasesError, StackError
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.queue import FakeQueue

Prepare = Callable[[AppContext, int, Callable[[], None]], None]


def _prepare_by(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    def prepare_run(context: AppContext, run_id: int, beat: Callable[[], None]) -> None:
        if error is not None:
            raise error
        with context.store.begin() as session:
            session.get_one(RunRow, run_id).manifest = run_manifest(Manifest((), n_folds=2))
            session.add_all(FoldRow(run_id=run_id, fold=fold) for fold in (0, 1))

    monkeypatch.setattr(prepare, "prepare_run", prepare_run)


def _set_folds(app: FakeApp, run_id: int, **fields: object) -> None:
    with app.store.begin() as session:
        for row in session.query(FoldRow).filter_by(run_id=run_id):
            for name, value in fields.items():
                setattr(row, name, value)


def _free(app: FakeApp, run_id: int) -> None:
    """As if the pause before the next attempt were over."""
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).not_before = 0.0


def test_from_queued_to_scoring(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    _prepare_by(monkeypatch)
    monkeypatch.setattr(judge_run, "evaluate_run", lambda *_: True)
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    assert app.run(run_id).status == RunStatus.TRAINING
    assert app.run(run_id).lease_until == 0.0
    assert app.jobs == [("train_fold", (run_id, 0)), ("train_fold", (run_id, 1))]
    stages.advance(app.context, run_id)  # called too early: nothing
    assert app.run(run_id).status == RunStatus.TRAINING
    _set_folds(app, run_id, status=FoldStatus.DONE)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert (run.status, run.lease_until) == (RunStatus.SCORING, 0.0)
    assert app.jobs[-2:] == [("score", (PROJECT, 0)), ("check", (PROJECT,))]
    assert set(run.seconds) == {"queued", "preparing", "training", "evaluating"}
    ends.pool_scored(app.context, PROJECT)
    assert app.run(run_id).status == RunStatus.PUBLISHING
    ends.published(app.context, PROJECT)
    assert app.run(run_id).status == RunStatus.DONE


def test_a_run_that_prepares_fine_takes_away_why_others_did_not(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare_by(monkeypatch)
    unprepared = app.add_run(RunStatus.PREPARING, 1)
    ends.fail(app.context, unprepared, "None of the 6 labelled tasks has a group.")
    untrained = app.add_run(RunStatus.TRAINING, 2, manifest=run_manifest(Manifest((), n_folds=2)))
    ends.fail(app.context, untrained, "Fold 1 failed.")
    stages.advance(app.context, app.add_run(RunStatus.QUEUED, 3))
    with app.store.begin() as session:
        assert [p.message for p in projects.open_problems(session, PROJECT)] == ["Fold 1 failed."]


def test_a_version_that_is_refused_ends_the_run(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_run, "evaluate_run", lambda *_: False)
    run_id = app.add_run(RunStatus.EVALUATING)
    stages.advance(app.context, run_id)
    assert app.run(run_id).status == RunStatus.DONE
    # What it doubts is told all the same, and at once.
    assert app.jobs == [("check", (PROJECT,))]


def test_a_run_that_is_held_is_left_alone(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    _prepare_by(monkeypatch, AssertionError("must not be called"))
    run_id = app.add_run(RunStatus.QUEUED, lease_until=time.time() + 10)
    stages.advance(app.context, run_id)
    assert app.run(run_id).status == RunStatus.QUEUED


@pytest.mark.parametrize(
    "error",
    [
        LabelStudioError("Label Studio can't be reached.", remedy="Start it."),
        StackError("Redis does not answer.", remedy="Start it."),
        OSError("The share is gone"),
    ],
)
def test_what_may_pass_is_tried_again_with_growing_pauses(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _prepare_by(monkeypatch, error)
    run_id = app.add_run(RunStatus.QUEUED)
    pauses = []
    for attempt in range(1, ledger.MAX_ATTEMPTS):
        stages.advance(app.context, run_id)
        run = app.run(run_id)
        assert (run.status, run.attempts, run.lease_until) == (RunStatus.PREPARING, attempt, 0.0)
        assert str(error) in run.error
        pauses.append(run.not_before - time.time())
        stages.advance(app.context, run_id)  # before the pause is over: nothing
        assert app.run(run_id).attempts == attempt
        _free(app, run_id)
    assert pauses == pytest.approx([5.0 * 2**i for i in range(len(pauses))], abs=1.0)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert run.status == RunStatus.FAILED
    assert run.error.endswith(f"Given up after {ledger.MAX_ATTEMPTS} attempts.")
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
        assert (problem.run_id, problem.message) == (run_id, run.error)


def test_after_a_failure_that_passed_the_run_goes_on_clean(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare_by(monkeypatch, LabelStudioError("down"))
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    _free(app, run_id)
    _prepare_by(monkeypatch)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert (run.status, run.attempts, run.error) == (RunStatus.TRAINING, 0, "")


def test_what_will_not_pass_ends_the_run_at_once(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare_by(monkeypatch, NotEnoughCasesError("Only 1 task.", remedy="Label more."))
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert (run.status, run.error) == (RunStatus.FAILED, "Only 1 task. Label more.")
    assert run.finished_at is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_run_at_once(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _prepare_by(monkeypatch, OSError(number, "No room"))
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert run.status == RunStatus.FAILED
    assert run.error.startswith(f"The disk of {app.context.settings.data_dir} is full (No room).")
    with app.store.begin() as session:
        assert [p.message for p in projects.open_problems(session, PROJECT)] == [run.error]


@pytest.mark.parametrize("wanted", [RunControl.PAUSE, RunControl.CANCEL])
def test_a_step_ends_soon_after_its_run_is_to(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, wanted: RunControl
) -> None:
    monkeypatch.setattr(stages, "CONTROL_S", 0.0)
    beats = []

    def prepare_run(_context: AppContext, run_id: int, beat: Callable[[], None]) -> None:
        beat()
        beats.append("went on")
        with app.store.begin() as session:
            ledger.set_control(session, session.get_one(RunRow, run_id), wanted)
        beat()
        beats.append("not reached")

    monkeypatch.setattr(prepare, "prepare_run", prepare_run)
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    assert beats == ["went on"]
    run = app.run(run_id)
    is_paused = wanted == RunControl.PAUSE
    assert run.status == (RunStatus.PREPARING if is_paused else RunStatus.CANCELLED)
    assert (run.attempts, run.lease_until, run.error) == (0, 0.0, "")
    stages.advance(app.context, run_id)  # a job that was in the queue already
    assert beats == ["went on"]


@pytest.mark.parametrize(("budget_s", "n_folds"), [(None, 4), (100.0, 4), (15.0, 2)])
def test_a_budget_too_small_for_all_folds_trains_fewer(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, budget_s: float | None, n_folds: int
) -> None:
    def prepare_run(context: AppContext, run_id: int, beat: Callable[[], None]) -> None:
        with context.store.begin() as session:
            session.get_one(RunRow, run_id).manifest = run_manifest(Manifest((), n_folds=4))
            session.add_all(FoldRow(run_id=run_id, fold=fold) for fold in range(4))

    monkeypatch.setattr(prepare, "prepare_run", prepare_run)
    run_id = app.add_run(RunStatus.QUEUED, settings={"budget_s": budget_s})
    stages.advance(app.context, run_id)
    with app.store.begin() as session:
        assert [row.fold for row in ledger.folds_of(session, run_id)] == list(range(n_folds))
    note = app.run(run_id).note
    assert note == "" if n_folds == 4 else note.startswith("2 of 4 folds are trained: the budget")


def test_a_worker_asked_to_end_gives_the_run_back(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "stop_requested", lambda: True)
    monkeypatch.setattr(prepare, "prepare_run", lambda _context, _run_id, beat: beat())
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert (run.status, run.attempts, run.lease_until) == (RunStatus.PREPARING, 0, 0.0)


def test_a_fold_that_failed_for_good_ends_the_run(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.RUNNING))
        session.add(FoldRow(run_id=run_id, fold=1, status=FoldStatus.FAILED, error="Exploded."))
    stages.advance(app.context, run_id)
    assert app.run(run_id).error == "Fold 1 failed: Exploded."
    assert app.run(run_id).status == RunStatus.FAILED


class _DeadQueue(FakeQueue):
    def ensure(self, name: JobName, *ids: int) -> bool:
        raise StackError("Redis does not answer.")


def test_a_run_that_has_ended_stays_ended_without_redis(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_run, "evaluate_run", lambda *_: False)
    app.add_version()
    app.add_tasks(1)  # unscored: the end of the run asks for a scoring
    run_id = app.add_run(RunStatus.EVALUATING, 2)
    context = AppContext(app.context.settings, app.store, _DeadQueue())
    stages.advance(context, run_id)
    run = app.run(run_id)
    assert (run.status, run.error, run.attempts) == (RunStatus.DONE, "", 0)


def test_the_end_of_a_run_starts_the_next_that_is_due(app: FakeApp) -> None:
    app.change_settings(min_annotations=2, retrain_after=1)
    run_id = app.add_run(RunStatus.PUBLISHING)
    from backend.pipeline.sync.reading import sync_project
    from tests.fakes.label_studio import polygon

    for task_id in (1, 2):
        app.label_studio.add_task(task_id)
        app.label_studio.label(task_id, polygon())
    sync_project(app.context, PROJECT)
    assert app.jobs == []  # one run at a time
    ends.published(app.context, PROJECT)
    assert app.run(run_id).status == RunStatus.DONE
    assert app.jobs == [("advance", (run_id + 1,))]


@pytest.mark.slow
def test_long_steps_keep_their_lease(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.4)
    run_id = app.add_run(RunStatus.QUEUED)
    left: list[float] = []

    def slow(context: object, claimed: int, beat: object) -> None:
        for _ in range(3):
            time.sleep(0.3)
            left.append(app.run(claimed).lease_until - time.time())

    monkeypatch.setattr(prepare, "prepare_run", slow)
    stages.advance(app.context, run_id)
    assert len(left) == 3 and min(left) > 0  # past the first lease, too
    assert app.run(run_id).lease_until == 0.0


def test_an_interrupted_step_is_one_of_nnloops_errors() -> None:
    assert issubclass(stages.InterruptedStepError, NnloopError)


def test_a_failed_run_frees_its_checkpoints(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING, 2)
    fold = app.context.workspace(PROJECT).fold_dir(2, 0)
    fold.mkdir(parents=True)
    for name in ("checkpoint_latest.pth", "train.log"):
        (fold / name).write_text("x")
    ends.fail(app.context, run_id, "The disk is full.")
    assert [path.name for path in fold.iterdir()] == ["train.log"]


def test_a_worker_that_stood_still_leaves_the_run_to_others(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare_run(context: AppContext, run_id: int, beat: Callable[[], None]) -> None:
        # Longer than its lease: another worker has prepared the run and trained it since.
        with app.store.begin() as session:
            run = session.get_one(RunRow, run_id)
            run.status, run.lease_until = RunStatus.EVALUATING, 9e9

    monkeypatch.setattr(prepare, "prepare_run", prepare_run)
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert (run.status, run.lease_until, run.error) == (RunStatus.EVALUATING, 9e9, "")


@pytest.mark.parametrize("error", [LabelStudioError("Away."), NnloopError("Broken."), None])
def test_who_lost_its_lease_changes_nothing_of_what_another_does(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    def prepare_run(context: AppContext, run_id: int, beat: Callable[[], None]) -> None:
        # It stood still; its lease was freed, and another worker has taken the same step.
        with app.store.begin() as session:
            session.get_one(RunRow, run_id).lease_until = 0.0
        with app.store.begin() as session:
            assert ledger.claim_run(session, run_id) is not None
        if error is not None:
            raise error
        time.sleep(stages.CONTROL_S)
        beat()
        pytest.fail("it goes on")

    monkeypatch.setattr(prepare, "prepare_run", prepare_run)
    run_id = app.add_run(RunStatus.QUEUED)
    stages.advance(app.context, run_id)
    run = app.run(run_id)
    assert (run.status, run.attempts, run.error) == (RunStatus.PREPARING, 0, "")
    assert run.lease_until > 0.0


def test_a_run_cancelled_while_it_was_published_stays_cancelled(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.CANCELLED)
    ends.finish(app.context, run_id)
    assert app.run(run_id).status == RunStatus.CANCELLED

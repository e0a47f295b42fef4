"""One training run, interrupted in every way: its worker, its child and Redis killed, and a pause.

One run for all of it, because training is what takes the time here.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from itertools import pairwise

import psutil
import pytest
from sqlalchemy import select

from backend.pipeline.runs.run_report import RunReport
from backend.store.models import FoldRow, ProjectRow, RunRow
from domain.states import FoldStatus, RunControl, RunStatus
from tests.integration.fold_processes import fold_process
from tests.integration.loop.stack import RUN_S, Answer, Loop, LoopProject

# About a minute on two idle cores; the fixture is one test to pytest.
pytestmark = pytest.mark.timeout(1200)

# Longer than the tick that would enqueue a fold, and than an epoch.
STILL_S = 3.0


@dataclass(frozen=True)
class Paused:
    """What was seen while the run was paused."""

    command: Answer
    status: Answer
    report: RunReport
    stood_still: bool
    waiting_jobs: int
    resumed: Answer


@dataclass(frozen=True)
class Interrupted:
    """What was seen of the run; ``worker`` is the name of the process that was killed."""

    project: LoopProject
    command: Answer
    worker: str
    paused: Paused
    run: RunReport
    epochs: tuple[list[int], list[int]]
    restarts: dict[str, int]
    is_running: bool


@pytest.fixture(scope="module")
def interrupted(loop: Loop) -> Interrupted:
    # Only a person starts this run: it has far fewer labels than it waits for. No time budget, so
    # that what was interrupted is trained to the end all the same; short epochs, of which many are
    # left when it is paused.
    trainer = "tests.integration.loop.short_epochs:ShortEpochsTrainer"
    settings = {"min_annotations": 100, "budget_s": None, "trainer": trainer}
    project = loop.make_project("Interrupted", 4, settings=settings)
    loop.annotate(project, project.task_ids)
    restarts_before = _restarts(loop)
    command = loop.nnloop("train", "Interrupted")
    worker = _kill_worker(loop, project, fold=0)
    _kill_child(loop, project, fold=1)
    paused = _pause_and_resume(loop, project)
    _kill_redis(loop, project)
    run = loop.finished_run(project, 1, 2 * RUN_S)  # what was interrupted starts again and again
    restarts = _restarts(loop)
    return Interrupted(
        project=project,
        command=command,
        worker=worker,
        paused=paused,
        run=run,
        epochs=(loop.epochs(project, 1, 0), loop.epochs(project, 1, 1)),
        restarts={name: n - restarts_before[name] for name, n in restarts.items()},
        is_running=all(state.is_running for state in loop.supervisor.states()),
    )


def _kill_worker(loop: Loop, project: LoopProject, fold: int) -> str:
    _wait_for_epoch(loop, project, fold, 2)
    child = _child(loop, project, fold)
    pid = _worker_pid(loop, project, fold)
    (worker,) = [state.name for state in loop.supervisor.states() if state.pid == pid]
    os.kill(pid, signal.SIGKILL)
    loop.wait_until(lambda: not psutil.pid_exists(child), 10, "the end of the worker's child")
    return worker


def _kill_child(loop: Loop, project: LoopProject, fold: int) -> None:
    _wait_for_epoch(loop, project, fold, 2)
    child = _child(loop, project, fold)
    os.kill(child, signal.SIGKILL)
    loop.wait_until(lambda: not psutil.pid_exists(child), 10, "the end of the child")


def _pause_and_resume(loop: Loop, project: LoopProject) -> Paused:
    done = max(loop.epochs(project, 1, 1))
    _wait_for_epoch(loop, project, 1, done + 1)  # the fold goes on after its child was killed
    command = loop.nnloop("pause", "Interrupted")
    loop.wait_until(lambda: not loop.children(project), 10, "the end of the paused trainings")
    before = loop.epochs(project, 1, 1)
    time.sleep(STILL_S)
    stood_still = not loop.children(project) and loop.epochs(project, 1, 1) == before
    report = loop.run(project, 1)
    assert report is not None
    return Paused(
        command=command,
        status=loop.nnloop("status", "Interrupted"),
        report=report,
        stood_still=stood_still,
        waiting_jobs=loop.context.queue.counts()["nnloop-train"],
        resumed=loop.nnloop("resume", "Interrupted"),
    )


def _kill_redis(loop: Loop, project: LoopProject) -> None:
    loop.wait_until(lambda: loop.children(project), 60, "a training that goes on")
    (redis,) = [state for state in loop.supervisor.states() if state.name == "Redis"]
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGKILL)


def _wait_for_epoch(loop: Loop, project: LoopProject, fold: int, epoch: int) -> None:
    def is_there() -> bool:
        run = loop.run(project, 1)
        return run is not None and len(run.folds) > fold and run.folds[fold].epoch >= epoch

    loop.wait_until(is_there, 120, f"epoch {epoch} of fold {fold}")


def _restarts(loop: Loop) -> dict[str, int]:
    return {state.name: state.restarts for state in loop.supervisor.states()}


def _child(loop: Loop, project: LoopProject, fold: int) -> int:
    folder = loop.context.workspace(project.id).fold_dir(1, fold)
    return fold_process(folder).pid


def _worker_pid(loop: Loop, project: LoopProject, fold: int) -> int:
    """The process that trains a fold; the ledger names it `host-pid-...`."""
    with loop.context.store.begin() as session:
        query = (
            select(FoldRow.worker)
            .join(RunRow, RunRow.id == FoldRow.run_id)
            .join(ProjectRow, ProjectRow.id == RunRow.project_id)
            .where(ProjectRow.id == project.id, FoldRow.fold == fold)
        )
        return int(session.scalars(query).one().rsplit("-", 2)[1])


def test_a_person_can_start_a_run_before_it_is_due(interrupted: Interrupted) -> None:
    assert interrupted.command.status == 0
    assert "Training requested" in interrupted.command.text
    assert interrupted.run.trigger == "requested by a person"


def test_the_supervisor_starts_what_was_killed_again(interrupted: Interrupted) -> None:
    assert interrupted.worker.startswith("trainer-")
    # A worker that was in the middle of a call to Redis may end with it, and is started again too.
    assert interrupted.restarts["Redis"] == 1
    assert interrupted.restarts[interrupted.worker] >= 1
    assert interrupted.restarts["web service"] == 0
    assert interrupted.is_running


def test_the_run_is_finished(interrupted: Interrupted) -> None:
    run = interrupted.run
    assert (run.status, run.error) == (RunStatus.DONE, "")
    assert [fold.status for fold in run.folds] == [FoldStatus.DONE] * 2
    # Neither the pause nor Redis was a failure of the training.
    assert [fold.attempts for fold in run.folds] == [2, 2]


@pytest.mark.parametrize("fold", [0, 1])
def test_at_most_one_epoch_is_lost_each_time(interrupted: Interrupted, fold: int) -> None:
    epochs = interrupted.epochs[fold]
    assert epochs[0] == 1
    assert epochs[-1] == interrupted.run.folds[fold].epochs
    # After an interruption the last one reported is trained again if its checkpoint was not
    # written yet: twice for each fold, once when its worker or child was killed, once in the pause.
    assert {b - a for a, b in pairwise(epochs)} <= {0, 1}
    assert sum(a == b for a, b in pairwise(epochs)) <= 2


def test_a_paused_run_ends_its_trainings_and_starts_none(interrupted: Interrupted) -> None:
    paused = interrupted.paused
    assert "Run 1 pauses while training" in paused.command.text
    assert paused.stood_still
    assert paused.waiting_jobs == 0
    assert (paused.report.status, paused.report.control) == (RunStatus.TRAINING, RunControl.PAUSE)
    assert "paused while training" in paused.status.text
    assert "Run 1 goes on: training." in paused.resumed.text
    assert interrupted.run.seconds["paused"] > STILL_S


def test_no_fold_process_is_left(loop: Loop, interrupted: Interrupted) -> None:
    assert interrupted.run.status.is_final
    assert loop.children(interrupted.project) == []

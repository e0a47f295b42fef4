"""SIGKILL of a training worker in the middle of a fold."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from backend.pipeline.status import RunReport
from backend.store.models import FoldRow, ProjectRow, RunRow
from converters.files import read_json
from domain.status import FoldStatus, RunStatus
from tests.integration.loop.stack import Answer, Loop
from training.folds import PROCESS, PROGRESS


@dataclass(frozen=True)
class Killed:
    """What was seen before and after; ``worker`` is the name of the process that was killed."""

    command: Answer
    worker: str
    epochs_before: list[int]
    epochs: list[int]
    run: RunReport
    restarts_before: dict[str, int]
    restarts: dict[str, int]
    is_running: bool


@pytest.fixture(scope="module")
def killed(loop: Loop) -> Killed:
    # Only a person starts this run: it has far fewer labels than it waits for. No time budget, so
    # that the number of epochs is known.
    settings = {"min_annotations": 100, "fold_budget_s": None}
    project = loop.make_project("Killed", 4, settings=settings)
    loop.annotate(project, project.task_ids)
    restarts_before = _restarts(loop)
    command = loop.nnloop("train", "Killed")

    def is_under_way() -> bool:
        run = loop.run(project, 1)
        return run is not None and bool(run.folds) and run.folds[0].epoch >= 2

    loop.wait_until(is_under_way, 120, "two epochs of fold 0")
    folder = loop.context.workspace(project.id).fold_dir(1, 0)
    child = int(read_json(folder / PROCESS)["pid"])
    pid = _worker_pid(loop, "Killed", fold=0)
    (worker,) = [state.name for state in loop.supervisor.states() if state.pid == pid]
    os.kill(pid, signal.SIGKILL)
    loop.wait_until(lambda: not psutil.pid_exists(child), 10, "the end of the worker's child")
    epochs_before = _epochs(folder / PROGRESS)
    run = loop.finished_run(project, 1)
    return Killed(
        command=command,
        worker=worker,
        epochs_before=epochs_before,
        epochs=_epochs(folder / PROGRESS),
        run=run,
        restarts_before=restarts_before,
        restarts=_restarts(loop),
        is_running=all(state.is_running for state in loop.supervisor.states()),
    )


def _restarts(loop: Loop) -> dict[str, int]:
    return {state.name: state.restarts for state in loop.supervisor.states()}


def _worker_pid(loop: Loop, title: str, *, fold: int) -> int:
    """The process that trains a fold; the ledger names it `host-pid`."""
    with loop.context.store.begin() as session:
        query = (
            select(FoldRow.worker)
            .join(RunRow, RunRow.id == FoldRow.run_id)
            .join(ProjectRow, ProjectRow.id == RunRow.project_id)
            .where(ProjectRow.title == title, FoldRow.fold == fold)
        )
        return int(session.scalars(query).one().rpartition("-")[2])


def _epochs(path: Path) -> list[int]:
    """The epochs a fold reported, in order; a line that was cut off is none."""
    epochs = []
    for line in path.read_text().splitlines():
        try:
            epochs.append(int(json.loads(line)["epoch"]))
        except ValueError:
            continue
    return epochs


def test_a_person_can_start_a_run_before_it_is_due(killed: Killed) -> None:
    assert killed.command.status == 0
    assert "Training requested" in killed.command.text
    assert killed.run.trigger == "requested by a person"


def test_the_supervisor_starts_the_worker_again(killed: Killed) -> None:
    assert killed.worker in ("trainer-1", "trainer-2")
    expected = killed.restarts_before | {killed.worker: killed.restarts_before[killed.worker] + 1}
    assert killed.restarts == expected
    assert killed.is_running


def test_the_run_is_finished(killed: Killed) -> None:
    assert (killed.run.status, killed.run.error) == (RunStatus.DONE, "")
    assert [fold.status for fold in killed.run.folds] == [FoldStatus.DONE] * 2
    assert killed.run.folds[0].attempts == 2


def test_at_most_one_epoch_is_lost(killed: Killed) -> None:
    before = killed.epochs_before
    assert before == list(range(1, len(before) + 1))
    assert 2 <= len(before) < 20
    after = killed.epochs[len(before) :]
    # The last one reported is trained again if its checkpoint was not written yet.
    assert after[0] in (before[-1], before[-1] + 1)
    assert after == list(range(after[0], 21))


def test_no_fold_process_is_left(loop: Loop, killed: Killed) -> None:
    assert killed.run.status.is_final
    specs = str(loop.settings.data_dir / "projects")
    left = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(specs in part for part in process.info["cmdline"] or [])
    ]
    assert left == []

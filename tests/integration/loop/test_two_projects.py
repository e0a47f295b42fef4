"""Two projects that train on the same workers, and the end of both by a person."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from backend.pipeline.folds.queue import AHEAD
from backend.pipeline.runs import control
from backend.pipeline.runs.request import request_training
from backend.pipeline.runs.run_report import RunReport
from domain.states import FoldStatus, RunStatus
from tests.integration.loop.stack import Answer, Loop, LoopProject
from training.devices import list_devices

TRAINER = "tests.integration.loop.unlearned:UnlearnedTrainer"


@dataclass(frozen=True)
class Two:
    """What was seen of a large and a small project.

    ``first`` is the run of the large one at the time the small one got a worker; ``again`` what a
    person was told who asked for another training of it, ``numbers`` the runs it had then.
    """

    first: RunReport
    again: Answer
    numbers: list[int]
    cancelled: list[Answer]
    ended: list[RunReport]
    has_folder: list[bool]
    next: RunReport


@pytest.fixture(scope="module")
def two(loop: Loop) -> Two:
    # One more than the workers and the queue take at once: it has to wait for somebody.
    n_workers = sum(device.workers for device in list_devices())
    n_folds = n_workers + AHEAD + 1
    # Long enough that neither is over before it is cancelled.
    settings = {"min_annotations": 100, "budget_s": 36.0, "n_folds": n_folds, "trainer": TRAINER}
    large = loop.make_project("Large", n_folds, settings=settings)
    small = loop.make_project("Small", 4, settings={**settings, "budget_s": 90.0, "n_folds": 2})
    for project in (large, small):
        loop.annotate(project, project.task_ids)
    # The small one is made ready and held, so that it asks for a worker at once when let go.
    request_training(loop.context, small.id)
    loop.wait_until(lambda: _folds(loop, small), 60, "the folds of the small run")
    control.pause(loop.context, small.id)
    request_training(loop.context, large.id)
    running = FoldStatus.RUNNING
    loop.wait_until(
        lambda: _folds(loop, large).count(running) == n_workers, 60, "all workers at work"
    )
    control.resume(loop.context, small.id)
    loop.wait_until(lambda: running in _folds(loop, small), 120, "a worker for the small run")
    first = loop.run(large, 1)
    assert first is not None
    again = loop.nnloop("train", "Large")
    numbers = [run.number for run in loop.report(large).runs]
    cancelled = [loop.nnloop("cancel", project.title) for project in (large, small)]
    ended = [loop.finished_run(project, 1) for project in (large, small)]
    folders = [loop.context.workspace(p.id).run_dir(1).exists() for p in (large, small)]
    assert not loop.children(large) and not loop.children(small)
    loop.nnloop("train", "Small", "--budget", "1m", "--from-scratch")
    following = loop.wait_until(lambda: loop.run(small, 2), 30, "the next run")
    control.cancel(loop.context, small.id)
    loop.finished_run(small, 2)
    return Two(first, again, numbers, cancelled, ended, folders, following)


def _folds(loop: Loop, project: LoopProject) -> list[FoldStatus]:
    run = loop.run(project, 1)
    if run is None or run.status != RunStatus.TRAINING:
        return []
    return [fold.status for fold in run.folds]


def test_the_second_project_does_not_wait_for_all_of_the_first(two: Two) -> None:
    assert len(two.first.folds) == sum(device.workers for device in list_devices()) + AHEAD + 1
    assert FoldStatus.QUEUED in {fold.status for fold in two.first.folds}


def test_a_project_has_one_run_at_a_time(two: Two) -> None:
    assert two.again.status == 1
    assert "No training was requested: Run 1 is training." in two.again.text
    assert two.numbers == [1]


def test_a_cancelled_run_ends_and_frees_its_folds(two: Two) -> None:
    assert [answer.status for answer in two.cancelled] == [0, 0]
    assert all("cancelled" in answer.text for answer in two.cancelled)
    assert {run.status for run in two.ended} == {RunStatus.CANCELLED}
    assert two.has_folder == [False, False]


def test_after_a_cancelled_run_the_next_one_may_start(two: Two) -> None:
    assert (two.next.number, two.next.budget_s) == (2, 60.0)

"""Webhooks that never arrive: the reading by the clock finds what they would have said."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import pytest

from backend.pipeline.runs.run_report import RunReport
from backend.stack.ports import free_port
from backend.stack.process import ManagedProcess
from backend.stack.service import web_spec
from domain.states import FoldStatus, RunStatus
from tests.integration.loop.stack import Loop

QUIET_S = 4.0


@dataclass(frozen=True)
class Lost:
    """What was seen with the webhook switched off."""

    new_hints: int
    labelled_before: int
    run_before: RunReport | None
    run: RunReport


@pytest.fixture(scope="module")
def lost(loop: Loop) -> Lost:
    # Two labelled tasks are fewer than three folds.
    settings = {"min_annotations": 2, "n_folds": 3, "budget_s": 1.0}
    project = loop.make_project("Lost webhook", 3, settings=settings)
    loop.switch_webhook(project, is_active=False)
    known = len(loop.hints(project))
    loop.annotate(project, project.task_ids[:2])
    time.sleep(QUIET_S)
    new_hints = len(loop.hints(project)) - known
    before = loop.report(project)
    # A second web service beside the first: its clock reads every project each second.
    settings_of_second = loop.settings.model_copy(
        update={"port": free_port(loop.settings.host), "sync_interval_s": 1.0}
    )
    spec = dataclasses.replace(web_spec(settings_of_second), name="second web service")
    process = ManagedProcess(spec, stack_id=loop.supervisor.stack_id)
    process.start()
    try:
        loop.wait_until(lambda: loop.run(project, 1) is not None, 20, "a run without a webhook")
    finally:
        process.stop()
    return Lost(
        new_hints=new_hints,
        labelled_before=before.labelled,
        run_before=before.runs[0] if before.runs else None,
        run=loop.finished_run(project, 1),
    )


def test_without_its_webhook_nothing_is_noticed_at_first(lost: Lost) -> None:
    assert (lost.new_hints, lost.labelled_before, lost.run_before) == (0, 0, None)


def test_the_reading_by_the_clock_starts_the_run(lost: Lost) -> None:
    assert lost.run.trigger == "2 annotations, the first training is due"
    assert (lost.run.status, lost.run.error, lost.run.labels) == (RunStatus.DONE, "", 2)


def test_fewer_cases_than_folds_make_fewer_folds(lost: Lost) -> None:
    assert [(fold.fold, fold.status) for fold in lost.run.folds] == [
        (0, FoldStatus.DONE),
        (1, FoldStatus.DONE),
    ]

from __future__ import annotations

import importlib
import inspect
import time

import pytest

from backend.jobs import loop, process, score
from backend.queue import JobName
from backend.store import projects
from backend.store.models import ProjectRow, RunRow
from domain.errors import LabelStudioError, PredictionError
from domain.status import RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp


@pytest.fixture(autouse=True)
def _context(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loop, score, process):
        monkeypatch.setattr(module, "context", lambda: app.context)


@pytest.mark.parametrize("job", list(JobName))
def test_every_job_resolves_and_takes_ids(job: JobName) -> None:
    module, _, name = job.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(function).parameters.values()
    assert parameters and all(parameter.annotation == "int" for parameter in parameters)


def test_a_scoring_that_fails_holds_its_run_back_and_ends_it_at_last(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise PredictionError("The checkpoint is gone.", remedy="Train again.")

    monkeypatch.setattr(score, "score_chunk", fail)
    run_id = app.add_run(RunStatus.SCORING)
    score.score(PROJECT, 0)
    first = app.run(run_id)
    assert (first.status, first.attempts) == (RunStatus.SCORING, 1)
    assert first.not_before > time.time()
    assert first.error == "The checkpoint is gone. Train again."
    for _ in range(20):
        if app.run(run_id).status != RunStatus.SCORING:
            break
        score.score(PROJECT, 0)
    last = app.run(run_id)
    assert last.status == RunStatus.FAILED
    assert "Given up after" in last.error


def test_a_scoring_that_succeeds_again_forgets_its_failures(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = app.add_run(RunStatus.SCORING, attempts=4, error="once")
    monkeypatch.setattr(score, "score_chunk", lambda *_: True)
    score.score(PROJECT, 1)
    assert (app.run(run_id).attempts, app.run(run_id).error) == (0, "")
    assert app.jobs == [("score", (PROJECT, 0))]  # the other turn: a job can't queue itself


def test_the_end_of_the_pool_leads_to_publishing(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = app.add_run(RunStatus.SCORING)
    monkeypatch.setattr(score, "score_chunk", lambda *_: False)
    score.score(PROJECT, 0)
    assert app.run(run_id).status == RunStatus.PUBLISHING
    assert app.jobs == [("publish", (PROJECT,))]


def test_a_failure_without_a_run_is_the_queues_to_keep(app: FakeApp) -> None:
    app.add_version()
    app.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        loop.publish(PROJECT)


def test_publishing_ends_the_run(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.PUBLISHING, 2)
    app.label_studio.is_down = True
    app.add_version()
    loop.publish(PROJECT)
    assert app.run(run_id).status == RunStatus.PUBLISHING
    assert app.run(run_id).not_before > time.time()
    app.label_studio.is_down = False
    loop.publish(PROJECT)
    done = app.run(run_id)
    assert (done.status, done.error) == (RunStatus.DONE, "")
    with app.store.begin() as session:
        assert session.get_one(RunRow, run_id).finished_at is not None


@pytest.mark.parametrize(
    ("status", "is_scored"), [(RunStatus.SCORING, False), (RunStatus.TRAINING, True)]
)
def test_a_run_paused_while_it_scores_stands_still(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, status: RunStatus, is_scored: bool
) -> None:
    # One that is paused while it trains keeps nobody from what the serving version predicts.
    chunks: list[int] = []

    def chunk(_context: object, project_id: int) -> bool:
        chunks.append(project_id)
        return False

    monkeypatch.setattr(score, "score_chunk", chunk)
    app.add_run(status, control=RunControl.PAUSE)
    score.score(PROJECT, 0)
    assert (len(chunks) == 1) is is_scored
    assert app.jobs == ([("publish", (PROJECT,))] if is_scored else [])


def test_a_run_paused_while_it_publishes_stands_still(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.PUBLISHING, 2, control=RunControl.PAUSE)
    app.add_version()
    loop.publish(PROJECT)
    assert app.run(run_id).status == RunStatus.PUBLISHING


def test_large_pools_are_scored_in_turn(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    other = PROJECT + 1
    with app.store.begin() as session:
        session.add(ProjectRow(id=other))
    scored: list[int] = []

    def chunk(_context: object, project_id: int) -> bool:
        scored.append(project_id)
        return True  # there is always more

    monkeypatch.setattr(score, "score_chunk", chunk)
    app.queue.ensure(JobName.SCORE, PROJECT, 0)
    app.queue.ensure(JobName.SCORE, other, 0)
    for _ in range(6):  # as the queue does: the first that came
        name, (project_id, turn) = app.queue.asked.pop(0)
        assert name == JobName.SCORE
        score.score(project_id, turn)
    assert scored == [PROJECT, other] * 3


def test_a_scoring_without_a_run_that_fails_is_told_of(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise PredictionError("The checkpoint is gone.", remedy="Roll back.")

    with monkeypatch.context() as broken:
        broken.setattr(score, "score_chunk", fail)
        for _ in range(2):
            with pytest.raises(PredictionError):
                score.score(PROJECT, 0)
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert (problem.stage, problem.message) == ("score", "The checkpoint is gone. Roll back.")
    score.score(PROJECT, 0)
    with app.store.begin() as session:
        assert projects.open_problems(session, PROJECT) == []

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from backend.jobs import loop, process, score, step
from backend.pipeline.runs import reconcile, stages
from backend.pipeline.runs.request import request_scoring
from backend.queue import JobName
from backend.store import projects
from backend.store.models import PauseRow, ProblemRow, ProjectRow, RunRow
from domain.errors import PredictionError
from domain.states import RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.stack.conftest import eventually


@pytest.fixture(autouse=True)
def _context(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loop, score, step, process):
        monkeypatch.setattr(module, "context", lambda: app.context)


@pytest.mark.parametrize("job", list(JobName))
def test_every_job_resolves_and_takes_ids(job: JobName) -> None:
    module, _, name = job.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(function).parameters.values()
    assert parameters and all(parameter.annotation == "int" for parameter in parameters)


@pytest.mark.parametrize("job", list(JobName))
def test_a_job_of_what_was_forgotten_is_nobodys_failure(
    job: JobName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed job is shown for a week: the project was disconnected while the job waited."""
    module_name, _, name = job.rpartition(".")
    module = importlib.import_module(module_name)
    monkeypatch.setattr(module, "context", process.context)
    monkeypatch.setattr("backend.jobs.train._forks", lambda: None)
    function = getattr(module, name)
    function(*[99] * len(inspect.signature(function).parameters))


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


def test_while_label_studio_is_down_pushing_is_tried_after_longer_pauses(app: FakeApp) -> None:
    app.add_version()
    app.label_studio.is_down = True
    loop.publish(PROJECT)
    app.label_studio.calls.clear()
    loop.publish(PROJECT)  # whoever asks for it
    assert app.label_studio.calls == []
    with app.store.begin() as session:
        # That Label Studio is away is told of once, by who pushes.
        (problem,) = projects.open_problems(session, PROJECT)
        assert problem.reason == "label_studio"
        session.get_one(PauseRow, (PROJECT, "publish")).not_before = 0.0
    app.label_studio.is_down = False
    loop.publish(PROJECT)
    with app.store.begin() as session:
        assert session.get(PauseRow, (PROJECT, "publish")) is None
        assert projects.open_problems(session, PROJECT) == []


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

    def chunk(_context: object, project_id: int, *_: object) -> bool:
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

    def chunk(_context: object, project_id: int, *_: object) -> bool:
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


@pytest.mark.slow
def test_a_scoring_that_fails_without_a_run_is_told_of_once_and_tried_ever_less_often(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app.add_version()
    app.add_tasks(1)
    now = time.time()
    tries: list[float] = []

    def fail(*_: object) -> bool:
        tries.append(now)
        raise KeyError("the checkpoint\nis gone")

    with monkeypatch.context() as broken:
        broken.setattr(score, "score_chunk", fail)
        broken.setattr(time, "time", lambda: now)
        start = now
        while now < start + 13 * 60:
            # As the web process does every second, and a worker when it is asked.
            for name, ids in reconcile._due_pushes(app.context):
                assert name == JobName.SCORE
                score.score(*ids)
            now += 1.0
    assert len(tries) <= 8
    assert tries[1] - tries[0] < 15  # what was over at once is over soon
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
        assert (problem.stage, problem.reason) == ("score", "failed")
        assert problem.message == (
            "Unexpected KeyError: 'the checkpoint\\nis gone'; the log has the details."
        )
        n_rows = len(session.query(ProblemRow).all())
        session.get_one(PauseRow, (PROJECT, "score")).not_before = 0.0
    assert n_rows == 1
    assert caplog.text.count("Traceback") == 1
    monkeypatch.setattr(score, "score_chunk", lambda *_: False)
    score.score(PROJECT, 0)
    with app.store.begin() as session:
        assert projects.open_problems(session, PROJECT) == []


def test_a_person_who_asks_for_a_scoring_does_not_wait_for_its_pause(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add_version()
    app.add_tasks(1)
    chunks: list[int] = []

    def chunk(_context: object, project_id: int, *_: object) -> bool:
        chunks.append(project_id)
        raise PredictionError("The checkpoint is gone.", remedy="Roll back.")

    monkeypatch.setattr(score, "score_chunk", chunk)
    score.score(PROJECT, 0)
    score.score(PROJECT, 0)
    assert len(chunks) == 1
    request_scoring(app.context, PROJECT)
    score.score(PROJECT, 0)
    assert len(chunks) == 2
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert (problem.message, problem.remedy) == ("The checkpoint is gone.", "Roll back.")


def test_a_worker_that_prepares_a_run_is_free_for_annotators(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[int, str]] = []
    may_end = threading.Event()

    def advance(_context: object, run_id: int, _pause: object = None) -> None:
        steps.append((run_id, threading.current_thread().name))
        assert may_end.wait(10)

    monkeypatch.setattr(stages, "advance", advance)
    run_id = app.add_run(RunStatus.QUEUED)
    step.advance(run_id)
    step.advance(run_id)  # asked for again meanwhile
    may_end.set()
    step.wait_for_threads()
    assert steps == [(run_id, f"prepare run {run_id}")]
    # The gate runs networks, which are not to be used by two threads: the job waits for it.
    other = app.add_run(RunStatus.TRAINING, 2)
    step.advance(other)
    assert [run for run, _ in steps[1:]] == [other]


def test_annotators_go_first_between_the_cases_of_a_gate(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "TURN_S", 0.0)
    cases: list[int] = []

    def evaluate(_context: object, _run_id: int, beat: Callable[[], None]) -> bool:
        for case in range(3):
            beat()
            cases.append(case)
        return True

    monkeypatch.setattr("backend.pipeline.gate.judge_run.evaluate_run", evaluate)
    run_id = app.add_run(RunStatus.EVALUATING)
    for done in range(3):
        step.advance(run_id)
        assert (len(cases), app.run(run_id).status) == (done, RunStatus.EVALUATING)
    # Nobody takes it for given up, and it asks for its next turn by itself.
    assert app.run(run_id).lease_until > time.time()
    assert eventually(lambda: ("advance", (run_id,)) in app.jobs)
    step.advance(run_id)
    assert (cases, app.run(run_id).status) == ([0, 1, 2], RunStatus.SCORING)
    assert step._in_turns == {}


def test_only_so_many_runs_are_prepared_at_once(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    may_end = threading.Event()

    def advance(_context: object, run_id: int) -> None:
        started.append(run_id)
        assert may_end.wait(10)

    monkeypatch.setattr(stages, "advance", advance)
    ids = [app.add_run(RunStatus.PREPARING, number) for number in range(step.MOST_AT_ONCE + 2)]
    for run_id in ids:
        step.advance(run_id)
    may_end.set()
    step.wait_for_threads()
    assert sorted(started) == ids[: step.MOST_AT_ONCE]
    step.advance(ids[-1])
    step.wait_for_threads()
    assert ids[-1] in started


def test_a_task_whose_image_comes_late_is_predicted_when_it_has_come(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "AFTER_JOB_S", 0.0)

    def late(
        _context: object, _project_id: int, _task_id: int, on_image: Callable[[], None]
    ) -> None:
        threading.Thread(target=on_image).start()

    monkeypatch.setattr(score, "score_task", late)
    score.predict(PROJECT, 7)
    deadline = time.monotonic() + 10
    while not app.jobs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert app.jobs == [("predict", (PROJECT, 7))]


@pytest.mark.slow
def test_who_reads_and_pushes_loads_no_network() -> None:
    code = (
        "import sys, backend.jobs.loop;"
        "print([m for m in ('torch', 'nnunetv2', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

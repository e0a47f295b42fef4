"""Tasks at which a worker dies."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any

import pytest

from backend.pipeline.basis import trials
from backend.pipeline.predictions import score
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.runs.request import request_scoring
from backend.store.models import PredictionRow, TrialRow
from backend.store.tasks import predictions
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.basis.faulty_pool import add, noise, open_problems


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not end a chunk before its time."""
    monkeypatch.setattr(score, "CHUNK_S", 60.0)


def _die_at(app: FakeApp, *task_ids: int) -> None:
    """What a worker leaves in the store that was killed while it was at these tasks."""
    with app.store.begin() as session:
        for task_id in task_ids:
            row = session.get(TrialRow, task_id)
            if row is None:
                row = TrialRow(task_id=task_id, project_id=PROJECT)
                session.add(row)
            row.worker = "elsewhere/1/0.00/dead"


def test_a_task_that_kills_its_worker_twice_is_set_aside_and_those_beside_it_are_not(
    app: FakeApp, version: int
) -> None:
    for task_id in (1, 2, 3, 4):
        add(app, task_id, noise(40))
    _die_at(app, 2, 3)
    assert score_chunk(app.context, PROJECT)  # those that stood by or did it, each alone
    with app.store.begin() as session:
        assert set(predictions.find(session, version, [1, 2, 3, 4])) == {2, 3}
        assert session.query(TrialRow).all() == []
    with app.store.begin() as session:
        session.query(PredictionRow).delete()
        session.add(TrialRow(task_id=3, project_id=PROJECT, deaths=1))
    _die_at(app, 3)
    assert not score_chunk(app.context, PROJECT)
    (problem,) = open_problems(app)
    assert (problem.task_id, problem.reason) == (3, "kills_worker")
    fetched = len(app.label_studio.fetched)
    # Not even by the next version, unless a person wants it.
    app.add_version(2, path=str(app.context.workspace(PROJECT).version_dir("nnloop-v1")))
    assert not score_chunk(app.context, PROJECT)
    assert 3 not in app.label_studio.fetched[fetched:]
    score.score_task(app.context, PROJECT, 3)
    assert 3 not in app.label_studio.fetched[fetched:]
    request_scoring(app.context, PROJECT, retry=True)
    assert not score_chunk(app.context, PROJECT)
    assert 3 in app.label_studio.fetched[fetched:]
    assert open_problems(app) == []


@pytest.mark.slow
def test_what_a_killed_process_was_at_is_found_by_the_next(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in (1, 2, 3):
        add(app, task_id, noise(40))
    fetch = app.label_studio.fetch_image

    def kill(uri: str, task_id: int, project_id: int, **more: Any) -> Any:
        if task_id == 2:
            time.sleep(0.2)  # those beside it are under way, too
            os._exit(9)  # as the kernel ends a process that takes all memory
        return fetch(uri, task_id, project_id, **more)

    monkeypatch.setattr(app.label_studio, "fetch_image", kill)

    def work() -> None:
        trials.worker_name.cache_clear()
        app.store.engine.dispose(close=False)
        while score_chunk(app.context, PROJECT):
            pass

    codes = []
    for _ in range(4):
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(60)
        codes.append(process.exitcode)
    assert codes == [9, 9, 0, 0]
    with app.store.begin() as session:
        rows = predictions.find(session, version, [1, 2, 3])
    assert {i: bool(row.error) for i, row in rows.items()} == {1: False, 2: True, 3: False}
    (problem,) = open_problems(app)
    assert (problem.task_id, problem.reason) == (2, "kills_worker")
    assert "Task 2: the worker died twice while it was at this task." in problem.message


def test_another_image_under_the_same_id_is_not_to_blame(app: FakeApp, version: int) -> None:
    add(app, 1, noise(40))
    with app.store.begin() as session:
        session.add(TrialRow(task_id=1, project_id=PROJECT, deaths=2, source="an older one"))
    assert not score_chunk(app.context, PROJECT)
    assert open_problems(app) == []


def test_a_worker_is_told_alive_from_dead(app: FakeApp) -> None:
    is_alive = trials.liveness(app.context)
    host, pid, started, _ = trials.worker_name().split("/")
    assert is_alive(trials.worker_name())
    assert not is_alive(f"{host}/{pid}/{started}/another")  # a container's only process, again
    assert not is_alive(f"{host}/1/0.00/x")  # another process has its number by now
    assert not is_alive("elsewhere/7/0.00/x")  # no heartbeat

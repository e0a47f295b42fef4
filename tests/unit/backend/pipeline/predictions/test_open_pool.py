"""A pool that stays open from turn to turn, while the world changes under it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backend.jobs import score as job
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.images import load_image
from backend.pipeline.predictions import score
from backend.pipeline.predictions.open_pool import Between, close_pools
from backend.pipeline.predictions.score import score_chunk, score_task
from backend.queue import JobName
from backend.store import projects
from backend.store.models import PredictionRow, TaskRow, TrialRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from domain.errors import LabelStudioError, NnloopError
from domain.states import RunControl, RunStatus, TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.maps import maps_of
from tests.unit.backend.pipeline.predictions.test_score import FakePredictor, _add_version
from training.nnunet.inference.maps import FoldMaps

AHEAD = 3


class StreamingPredictor(FakePredictor):
    """Prepares some images ahead, as the real one does; counts streams and images."""

    def __init__(self) -> None:
        self.n_streams, self.prepared = 0, list[int]()

    def predict_stream(
        self, items: Iterable[TaskRow], load: Callable[[TaskRow], npt.NDArray[Any]], **_: bool
    ) -> Generator[tuple[TaskRow, Future[FoldMaps]], None, None]:
        self.n_streams += 1
        source, ahead = iter(items), list[tuple[TaskRow, Future[FoldMaps]]]()
        while True:
            for item in itertools.islice(source, AHEAD - len(ahead)):
                self.prepared.append(item.id)
                future: Future[FoldMaps] = Future()
                try:
                    future.set_result(maps_of(self.predict(load(item))))
                except NnloopError as error:
                    future.set_exception(error)
                ahead.append((item, future))
            if not ahead:
                return
            yield ahead.pop(0)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> StreamingPredictor:
    found = StreamingPredictor()
    monkeypatch.setattr(score, "warm_predictor", lambda *_: found)
    monkeypatch.setattr(score, "CHUNK_S", 60.0)
    return found


@pytest.fixture
def pool(app: FakeApp, predictor: StreamingPredictor) -> Generator[int, None, None]:
    """Ten tasks that version 1 has not seen; closed at the end, as a worker does."""
    version = _add_version(app)
    app.add_tasks(*range(1, 11))
    yield version
    close_pools(app.context)


ONE = Between(must_end=lambda: True)
"""Turns of one task each: somebody waits for the worker all the time."""


def _scored(app: FakeApp, version_id: int) -> set[int]:
    with app.store.begin() as session:
        return set(predictions.find(session, version_id, range(1, 21)))


def _at_work(app: FakeApp) -> set[int]:
    with app.store.begin() as session:
        return {row.task_id for row in session.query(TrialRow)}


def test_nothing_is_done_twice_over_many_turns(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    told: list[int] = []
    turns = 0
    while score_chunk(app.context, PROJECT, Between(lambda: True, lambda: told.append(1))):
        turns += 1
        assert len(_scored(app, pool)) == turns
    assert turns == 9
    assert len(told) == 10
    # Whatever was prepared in one turn was used in the next.
    assert sorted(predictor.prepared) == sorted(app.label_studio.fetched) == list(range(1, 11))
    assert predictor.n_streams <= 3
    assert app.context.open_scorings == {}
    assert _at_work(app) == set()


def test_a_task_that_an_annotator_opens_is_predicted_in_between(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    score_chunk(app.context, PROJECT, ONE)
    score_task(app.context, PROJECT, 9)
    scored = _scored(app, pool)
    # The other is whichever image was there first.
    assert 9 in scored and len(scored) == 2
    while score_chunk(app.context, PROJECT, ONE):
        pass
    assert _scored(app, pool) == set(range(1, 11))


def test_tasks_come_as_annotators_meet_them(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    scores = {4: 0.2, 7: 0.1, 2: 0.9}
    with app.store.begin() as session:
        second = VersionRow(
            project_id=PROJECT, name="nnloop-v2", path=session.get_one(VersionRow, pool).path
        )
        session.add(second)
        for task_id, value in scores.items():
            row = PredictionRow(task_id=task_id, version_id=pool, score=value, result=[])
            row.project_id = PROJECT
            session.add(row)
        session.flush()
        versions.promote(session, second)
        second_id = second.id
    order: list[int] = []
    seen: set[int] = set()

    def note() -> None:
        order.extend(_scored(app, second_id) - seen)
        seen.update(order)

    assert not score_chunk(app.context, PROJECT, Between(on_scored=note))
    # Lowest score of the former version first, then what it has not seen.
    assert set(order[:2]) <= {7, 4, 2, 1, 3, 5}  # six images come at once, in any order
    assert set(predictor.prepared[:6]) == {7, 4, 2, 1, 3, 5}
    assert len(order) == 10


def test_a_version_promoted_meanwhile_takes_over(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    for _ in range(3):
        score_chunk(app.context, PROJECT, ONE)
    with app.store.begin() as session:
        path = session.get_one(VersionRow, pool).path
    second = app.add_version(2, path=path)
    while score_chunk(app.context, PROJECT, ONE):
        pass
    assert _scored(app, second) == set(range(1, 11))
    assert len(_scored(app, pool)) == 3
    assert _at_work(app) == set()


def test_a_setting_that_changes_holds_for_what_follows(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    score_chunk(app.context, PROJECT, ONE)
    app.change_settings(min_region_area_px=1e6)
    score_chunk(app.context, PROJECT)
    with app.store.begin() as session:
        found = predictions.find(session, pool, range(1, 11))
    # Whichever image came first.
    assert sorted(bool(row.result) for row in found.values()) == [False] * 9 + [True]


def test_tasks_deleted_labelled_and_changed_meanwhile(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    score_chunk(app.context, PROJECT, ONE)
    with app.store.begin() as session:
        session.get_one(TaskRow, 2).removed_at = 1.0
        session.get_one(TaskRow, 3).state = TaskState.LABELLED
        session.get_one(TaskRow, 4).source = "another image"
        session.delete(session.get_one(TaskRow, 5))
    app.add_tasks(11)
    while score_chunk(app.context, PROJECT, ONE):
        pass
    with app.store.begin() as session:
        found = predictions.find(session, pool, range(1, 12))
        waiting = {row.task_id for row in predictions.unpublished(session, pool, 99)}
    # The answer for the image before did not pass for the new one's: it was predicted again.
    assert found[4].source == "another image"
    assert predictor.prepared.count(4) == 2
    assert waiting == {1, 4, 6, 7, 8, 9, 10, 11}
    assert _at_work(app) == set()


def test_label_studio_that_goes_away_closes_the_pool_and_no_task_has_failed(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    score_chunk(app.context, PROJECT, ONE)
    app.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        while score_chunk(app.context, PROJECT, ONE):
            pass
    assert app.context.open_scorings == {}
    app.label_studio.is_down = False
    while score_chunk(app.context, PROJECT, ONE):
        pass
    with app.store.begin() as session:
        rows = predictions.find(session, pool, range(1, 11))
    assert len(rows) == 10 and not any(row.error for row in rows.values())


def test_where_a_worker_died_each_task_works_alone_and_the_pool_is_opened_anew(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    score_chunk(app.context, PROJECT, ONE)
    with app.store.begin() as session:
        for task_id in (8, 9):
            row = session.get(TrialRow, task_id) or TrialRow(task_id=task_id, project_id=PROJECT)
            row.worker, row.source = "elsewhere/1/0.00/dead", ""
            session.merge(row)
    assert score_chunk(app.context, PROJECT)
    assert app.context.open_scorings == {}
    assert {8, 9} <= _scored(app, pool)
    assert not score_chunk(app.context, PROJECT)
    assert _scored(app, pool) == set(range(1, 11))


def test_a_worker_that_ends_leaves_nothing_at_work(
    app: FakeApp, pool: int, predictor: StreamingPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_chunk(app.context, PROJECT, ONE)
    monkeypatch.setattr(score, "stop_requested", lambda: True)
    assert score_chunk(app.context, PROJECT, ONE)
    assert app.context.open_scorings == {}
    assert _at_work(app) == set()
    assert len(_scored(app, pool)) == 1


def test_a_paused_run_gives_up_what_is_under_way(
    app: FakeApp, pool: int, predictor: StreamingPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "context", lambda: app.context)
    score_chunk(app.context, PROJECT, ONE)
    app.add_run(RunStatus.SCORING, 9, control=RunControl.PAUSE)
    job.score(PROJECT, 0)
    assert app.context.open_scorings == {}
    assert len(_scored(app, pool)) == 1


def test_the_job_asks_for_pushes_and_gives_way_to_annotators(
    app: FakeApp, pool: int, predictor: StreamingPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "context", lambda: app.context)
    monkeypatch.setattr(job, "_next_push_at", {})
    app.context.queue.ensure(JobName.PREDICT, PROJECT, 9)  # somebody waits
    job.score(PROJECT, 0)
    assert len(_scored(app, pool)) == 1
    assert app.jobs == [("predict", (PROJECT, 9)), ("push", (PROJECT,)), ("score", (PROJECT, 1))]
    app.queue.asked.clear()
    job.score(PROJECT, 1)
    # The next part goes out a little later, and all of it at the end.
    assert app.jobs == [("publish", (PROJECT,))]


def test_few_pools_are_open_at_once(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    class Opened:
        def __init__(self, number: int) -> None:
            self.number, self.key = number, "key"

        def close(self) -> None:
            closed.append(self.number)

    from backend.pipeline.predictions.open_pool import open_pool

    for number in (1, 2, 1, 3):
        open_pool(app.context, number, "key", lambda number=number: Opened(number))  # type: ignore
    assert closed == [1]
    open_pool(app.context, 3, "another", lambda: Opened(4))  # type: ignore[arg-type,return-value]
    assert closed == [1, 3]


def test_what_was_made_of_an_image_that_was_overwritten_since_counts_for_nothing(
    app: FakeApp, pool: int, predictor: StreamingPredictor
) -> None:
    assert score_chunk(app.context, PROJECT, ONE)
    prepared = predictor.prepared[1]
    # Another process reads the new one while the old one waits for the networks.
    app.label_studio.add_task(prepared, np.full((40, 40), 77, np.uint8))
    with app.store.begin() as session:
        task = session.get_one(TaskRow, prepared)
        project = projects.get(session, PROJECT)
    load_image(app.context, task, label_config_of(project, project.settings))
    assert score_chunk(app.context, PROJECT, ONE)
    assert prepared not in _scored(app, pool)
    while score_chunk(app.context, PROJECT):
        pass
    assert _scored(app, pool) == set(range(1, 11))
    assert predictor.prepared.count(prepared) == 2

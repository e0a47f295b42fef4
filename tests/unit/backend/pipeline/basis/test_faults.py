"""Faults at every stage between a task and its stored prediction: each fails its own task only."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sqlalchemy.exc import DataError, OperationalError, StatementError

from backend.jobs import loop
from backend.jobs import score as jobs
from backend.label_studio import LabelStudioClient
from backend.pipeline.basis import trials
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.predictions import score
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.runs.request import request_scoring
from backend.store import projects
from backend.store.models import PredictionRow, ProblemRow, TrialRow, VersionRow
from backend.store.tasks import predictions
from converters.bookkeeping.documents import write_document
from converters.label_studio.write import regions_to_result, validate_prediction
from converters.outlines.vectorize import vectorize
from domain.errors import (
    DiskFullError,
    ImageError,
    LabelStudioError,
    PredictionError,
    StackError,
)
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png
from tests.fakes.maps import maps_of
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.stream import predict_stream
from training.presets import TINY
from training.versions.version_folder import VersionInfo

PAGE = "<html>\n<body>\x1b[31mIt is " + "broken\n" * 500


@dataclass(frozen=True)
class Prepared:
    pixels: npt.NDArray[Any]


class Networks:
    """Networks of two folds that share calls, and fail by the height of an image."""

    batch_images = 3

    def __init__(self, at: dict[str, dict[int, Exception]]) -> None:
        self.at = at

    def prepare(self, image: npt.NDArray[Any]) -> tuple[Prepared, ...]:
        self._fail("prepare", image)
        return (Prepared(image),)

    def start(self, images: list[tuple[Prepared, ...]]) -> Callable[[int], FoldMaps]:
        for image in images:
            self._fail("start", image[0].pixels)

        def finish(index: int) -> FoldMaps:
            pixels = images[index][0].pixels
            self._fail("finish", pixels)
            height, width = pixels.shape[:2]
            maps = np.full((2, 3, height, width), 0.05, np.float32)
            maps[:, 0] = 0.9
            maps[:, :, height // 4 :, : width // 2] = np.array([0.05, 0.9, 0.05])[:, None, None]
            return maps_of(maps * np.float32("nan") if height in self.at["nan"] else maps)

        return finish

    def _fail(self, stage: str, image: npt.NDArray[Any]) -> None:
        error = self.at[stage].get(image.shape[0])
        if error is not None:
            raise error


class Predictor:
    """The real stream over such networks."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks

    def predict_stream(
        self, items: Iterable[Any], load: Callable[[Any], npt.NDArray[Any]]
    ) -> Generator[tuple[Any, Future[Any]], None, None]:
        return predict_stream(self.networks, items, load)  # type: ignore[arg-type]


def _noise(height: int, width: int = 48) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(height).integers(1, 255, (height, width), dtype=np.uint8)


def _bomb() -> bytes:
    """A PNG that says of itself that it has 10 billion pixels."""
    head = b"IHDR" + (100_000).to_bytes(4) + (100_000).to_bytes(4) + bytes([8, 0, 0, 0, 0])
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [
        len(chunk[4:]).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        for chunk in (head, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _tiff_of_floats() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ones((9, 9), np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


FETCH: list[Exception] = [
    ImageError(0, "image_missing", "the image 'a' does not exist.", remedy="Upload it."),
    ImageError(0, "image_refused", PAGE),
    KeyError("location"),
    UnicodeError("label too long"),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    AssertionError(),
    TimeoutError("its own"),
    OSError("odd"),
    RuntimeError(PAGE),
    httpx.StreamClosed(),
    PredictionError("no fold"),
]
DECODE = [b"", b"<html>", png(_noise(40))[:300], _bomb(), _tiff_of_floats(), b"\x89PNG\r\n\x1a\n"]
HEALTHY = [
    _noise(40), _noise(41), _noise(1, 500), _noise(500, 1), _noise(1, 1), _noise(2, 3), _noise(64)
]  # fmt: skip
# By the height of an image, which no healthy one has.
STAGES: dict[str, dict[int, Exception]] = {
    "prepare": {50: PredictionError("odd"), 51: ValueError(PAGE)},
    "start": {52: RuntimeError("size mismatch"), 53: MemoryError("no room")},
    "finish": {54: IndexError("out of range"), 55: RuntimeError("CUDA out of memory. Tried 9 GB")},
    "nan": {56: ValueError()},
    "vectorize": {57: ZeroDivisionError("division by zero")},
    "result": {58: TypeError("unhashable"), 59: ValueError()},
    "unstorable": {60: ValueError()},
    "dropped": {61: ValueError()},
}


@pytest.fixture
def version(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> int:
    """Serves, and fails at every stage that STAGES names."""
    monkeypatch.setattr(score, "warm_predictor", lambda *_: Predictor(Networks(STAGES)))

    def fail_vectorize(mean: npt.NDArray[Any], *args: Any, **more: Any) -> Any:
        if mean.shape[1] in STAGES["vectorize"]:
            raise STAGES["vectorize"][mean.shape[1]]
        return vectorize(mean, *args, **more)

    heights: list[int] = []

    def fail_result(regions: Any, config: Any, size_hw: tuple[int, int], **more: Any) -> Any:
        heights.append(size_hw[0])
        if size_hw[0] in STAGES["result"]:
            raise STAGES["result"][size_hw[0]]
        made = regions_to_result(regions, config, size_hw, **more)
        return [object()] if size_hw[0] in STAGES["unstorable"] else made

    def fail_validate(config: Any, result: Any, **more: Any) -> list[str]:
        if heights[-1] in STAGES["dropped"]:
            return ["Not\nallowed."]
        if heights[-1] in STAGES["unstorable"]:
            return []
        return validate_prediction(config, result, **more)

    monkeypatch.setattr(score, "vectorize", fail_vectorize)
    monkeypatch.setattr(score, "regions_to_result", fail_result)
    monkeypatch.setattr(score, "validate_prediction", fail_validate)
    made = app.add_version()
    info = VersionInfo("nnloop-v1", ("lumen", "wall"), 1, TINY, (0, 1), {})
    write_document(
        app.context.workspace(PROJECT).version_dir("nnloop-v1") / "version.json", VersionInfo, info
    )
    return made


def _fetch_with(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, errors: dict[int, Exception]
) -> None:
    fetch = app.label_studio.fetch_image

    def fail(uri: str, task_id: int, project_id: int, **more: Any) -> Any:
        if task_id in errors:
            app.label_studio.fetched.append(task_id)
            raise errors[task_id]
        return fetch(uri, task_id, project_id, **more)

    monkeypatch.setattr(app.label_studio, "fetch_image", fail)


def _add(app: FakeApp, task_id: int, image: bytes | npt.NDArray[Any]) -> None:
    app.add_tasks(task_id)
    data = image if isinstance(image, bytes) else png(image)
    app.label_studio.images[app.label_studio.tasks[task_id].data["image"]] = data


def _score_all(app: FakeApp) -> None:
    """As a worker does: one job after the other until none asks for the next."""
    turn = 0
    while True:
        before = len(app.queue.asked)
        jobs.score(PROJECT, turn)
        asked = app.queue.asked[before:]
        if not any(name.endswith(".score") for name, _ in asked):
            return
        turn = asked[-1][1][1]


def _open(app: FakeApp) -> list[ProblemRow]:
    with app.store.begin() as session:
        return projects.open_problems(session, PROJECT)


@pytest.mark.slow
def test_a_pool_in_which_everything_goes_wrong_is_scored_and_published(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (jobs, loop):
        monkeypatch.setattr(module, "context", lambda: app.context)
    contents: list[bytes | npt.NDArray[Any]] = [
        *[_noise(40)] * len(FETCH),
        *DECODE,
        *(_noise(height) for heights in STAGES.values() for height in heights),
        *HEALTHY,
    ]
    # In an order that has healthy ones between, before and after the others.
    order = np.random.default_rng(0).permutation(len(contents))
    ids = {int(place): i + 1 for i, place in enumerate(order)}
    for i, content in enumerate(contents):
        _add(app, ids[i], content)
    n_faulty = len(contents) - len(HEALTHY)
    assert n_faulty >= 30
    faulty = {ids[i] for i in range(n_faulty)}
    healthy = {ids[i] for i in range(n_faulty, len(contents))}
    _fetch_with(app, monkeypatch, {ids[i]: error for i, error in enumerate(FETCH)})
    run_id = app.add_run(RunStatus.SCORING, 2)

    started = time.monotonic()
    _score_all(app)
    assert time.monotonic() - started < 30
    loop.publish(PROJECT)

    assert (app.run(run_id).status, app.run(run_id).error) == (RunStatus.DONE, "")
    assert {row.task_id for row in app.label_studio.predictions} == healthy
    with app.store.begin() as session:
        assert session.get_one(VersionRow, version).published_at is not None
        rows = predictions.find(session, version, sorted(ids.values()))
        assert session.query(TrialRow).all() == []
    assert {i for i, row in rows.items() if row.error} == faulty
    assert all(
        row.attempts == 1 and (row.not_before or 0.0) > time.time()
        for row in rows.values()
        if row.error
    )
    problems = _open(app)
    assert sorted(problem.task_id or 0 for problem in problems) == sorted(faulty)
    for problem in problems:
        assert problem.message.startswith("Task ")
        assert (
            problem.message == " ".join(problem.message.split()) and "\x1b" not in problem.message
        )
        assert len(problem.message) < 700

    # A second round, before any is due again, does nothing.
    fetched = len(app.label_studio.fetched)
    _score_all(app)
    assert len(app.label_studio.fetched) == fetched
    assert [p.id for p in _open(app)] == [p.id for p in problems]


def test_a_task_is_set_aside_after_a_few_tries_and_tried_again_on_request(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(app, 1, b"no image")
    monkeypatch.setattr(predictions, "RETRY_PAUSES_S", (-1.0, -1.0))
    for _ in range(6):
        score_chunk(app.context, PROJECT)
    assert app.label_studio.fetched == [1, 1, 1]
    (problem,) = _open(app)
    assert "nnloop score PROJECT --retry" in problem.remedy
    with app.store.begin() as session:
        row = predictions.find(session, version, [1])[1]
        assert (row.attempts, row.not_before) == (3, None)
        predictions.retry_failed(session, version)
    app.label_studio.add_task(1)
    assert not score_chunk(app.context, PROJECT)
    with app.store.begin() as session:
        assert predictions.find(session, version, [1])[1].error == ""
    assert _open(app) == []


@pytest.mark.parametrize(
    "error",
    [
        LabelStudioError("Label Studio can't be reached."),
        StackError("Redis is gone."),
        DiskFullError("No room."),
        OSError(errno.ENOSPC, "No space left on device"),
        OperationalError("SELECT", {}, Exception("database is locked")),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
)
def test_what_is_wrong_with_all_ends_the_chunk(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _add(app, 1, _noise(40))
    _fetch_with(app, monkeypatch, {1: error})
    with pytest.raises(type(error)):
        score_chunk(app.context, PROJECT)
    assert _open(app) == []
    with app.store.begin() as session:
        assert predictions.find(session, version, [1]) == {}
    # It passed: the task is none the worse for it, the more so its image is read anew.
    monkeypatch.undo()


@pytest.mark.parametrize(
    "error",
    [StatementError("x", "INSERT", {}, TypeError("no JSON")), DataError("INSERT", {}, Exception())],
)
def test_a_value_that_no_column_takes_is_the_fault_of_its_task(error: Exception) -> None:
    assert fault_of(7, error).reason == "unexpected"


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
        _add(app, task_id, _noise(40))
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
    (problem,) = _open(app)
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
    assert _open(app) == []


@pytest.mark.slow
def test_what_a_killed_process_was_at_is_found_by_the_next(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in (1, 2, 3):
        _add(app, task_id, _noise(40))
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
    (problem,) = _open(app)
    assert (problem.task_id, problem.reason) == (2, "kills_worker")
    assert "Task 2: the worker died twice while it was at this task." in problem.message


def test_another_image_under_the_same_id_is_not_to_blame(app: FakeApp, version: int) -> None:
    _add(app, 1, _noise(40))
    with app.store.begin() as session:
        session.add(TrialRow(task_id=1, project_id=PROJECT, deaths=2, source="an older one"))
    assert not score_chunk(app.context, PROJECT)
    assert _open(app) == []


def test_a_worker_is_told_alive_from_dead(app: FakeApp) -> None:
    is_alive = trials.liveness(app.context)
    host, pid, started, _ = trials.worker_name().split("/")
    assert is_alive(trials.worker_name())
    assert not is_alive(f"{host}/{pid}/{started}/another")  # a container's only process, again
    assert not is_alive(f"{host}/1/0.00/x")  # another process has its number by now
    assert not is_alive("elsewhere/7/0.00/x")  # no heartbeat


@pytest.mark.slow
def test_images_that_do_not_come_hold_up_no_chunk_and_no_annotator(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_come = threading.Event()
    fetch = app.label_studio.fetch_image

    def slow(uri: str, task_id: int, project_id: int, **more: Any) -> Any:
        if task_id <= 8:
            assert may_come.wait(30)
        return fetch(uri, task_id, project_id, **more)

    monkeypatch.setattr(app.label_studio, "fetch_image", slow)
    monkeypatch.setattr(score, "CHUNK_S", 0.8)
    monkeypatch.setattr(score, "TASK_S", 0.1)
    monkeypatch.setattr("backend.pipeline.basis.loading.SLOW_S", 0.1)
    for task_id in range(1, 13):
        _add(app, task_id, _noise(40))
    started = time.monotonic()
    assert score_chunk(app.context, PROJECT)
    assert time.monotonic() - started < 5
    with app.store.begin() as session:
        # Those that dripped came first, and are overtaken.
        assert set(predictions.find(session, version, list(range(1, 13)))) == {9, 10, 11, 12}
    # An annotator opens one of them, another one a good task.
    came: list[int] = []
    started = time.monotonic()
    score.score_task(app.context, PROJECT, 1, lambda: came.append(1))
    _add(app, 20, _noise(40))
    score.score_task(app.context, PROJECT, 20)
    assert time.monotonic() - started < 3
    assert came == []
    may_come.set()
    deadline = time.monotonic() + 10
    while not came and time.monotonic() < deadline:
        time.sleep(0.01)
    assert came == [1]
    while score_chunk(app.context, PROJECT):
        assert time.monotonic() < deadline + 20
    with app.store.begin() as session:
        found = predictions.find(session, version, [*range(1, 13), 20])
    assert len(found) == 13 and not any(row.error for row in found.values())
    # What was on its way when a chunk ended was not fetched again.
    assert sorted(app.label_studio.fetched) == [*range(1, 13), 20]


def test_the_client_takes_the_deadline_of_the_settings(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = app.context.settings.model_copy(
        update={"label_studio_url": "http://127.0.0.1:9", "image_deadline_s": 3.5}
    )
    monkeypatch.setattr(
        type(settings), "require_label_studio", lambda _self: ("http://127.0.0.1:9", "a" * 40)
    )
    client = AppContext(settings, app.store, app.queue).label_studio
    assert isinstance(client, LabelStudioClient)
    assert client.image_deadline_s == 3.5

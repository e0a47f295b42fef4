"""Faults at every stage between a task and its stored prediction: each fails its own task only."""

from __future__ import annotations

import errno
import io
import threading
import time
import zlib
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
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.predictions import score
from backend.pipeline.predictions.score import score_chunk
from backend.store.models import TrialRow, VersionRow
from backend.store.tasks import predictions
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
from tests.unit.backend.pipeline.basis.faulty_pool import (
    PAGE,
    STAGES,
    add,
    noise,
    open_problems,
)


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
DECODE = [b"", b"<html>", png(noise(40))[:300], _bomb(), _tiff_of_floats(), b"\x89PNG\r\n\x1a\n"]
HEALTHY = [
    noise(40), noise(41), noise(1, 500), noise(500, 1), noise(1, 1), noise(2, 3), noise(64)
]  # fmt: skip


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


def score_all(app: FakeApp) -> None:
    """As a worker does: one job after the other until none asks for the next."""
    turn = 0
    while True:
        before = len(app.queue.asked)
        jobs.score(PROJECT, turn)
        asked = app.queue.asked[before:]
        if not any(name.endswith(".score") for name, _ in asked):
            return
        turn = asked[-1][1][1]


@pytest.mark.slow
def test_a_pool_in_which_everything_goes_wrong_is_scored_and_published(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (jobs, loop):
        monkeypatch.setattr(module, "context", lambda: app.context)
    contents: list[bytes | npt.NDArray[Any]] = [
        *[noise(40)] * len(FETCH),
        *DECODE,
        *(noise(height) for heights in STAGES.values() for height in heights),
        *HEALTHY,
    ]
    # In an order that has healthy ones between, before and after the others.
    order = np.random.default_rng(0).permutation(len(contents))
    ids = {int(place): i + 1 for i, place in enumerate(order)}
    for i, content in enumerate(contents):
        add(app, ids[i], content)
    n_faulty = len(contents) - len(HEALTHY)
    assert n_faulty >= 30
    faulty = {ids[i] for i in range(n_faulty)}
    healthy = {ids[i] for i in range(n_faulty, len(contents))}
    _fetch_with(app, monkeypatch, {ids[i]: error for i, error in enumerate(FETCH)})
    run_id = app.add_run(RunStatus.SCORING, 2)

    started = time.monotonic()
    score_all(app)
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
    problems = open_problems(app)
    assert sorted(problem.task_id or 0 for problem in problems) == sorted(faulty)
    for problem in problems:
        assert problem.message.startswith("Task ")
        assert (
            problem.message == " ".join(problem.message.split()) and "\x1b" not in problem.message
        )
        assert len(problem.message) < 700

    # A second round, before any is due again, does nothing.
    fetched = len(app.label_studio.fetched)
    score_all(app)
    assert len(app.label_studio.fetched) == fetched
    assert [p.id for p in open_problems(app)] == [p.id for p in problems]


def test_a_task_is_set_aside_after_a_few_tries_and_tried_again_on_request(
    app: FakeApp, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(app, 1, b"no image")
    monkeypatch.setattr(predictions, "RETRY_PAUSES_S", (-1.0, -1.0))
    for _ in range(6):
        score_chunk(app.context, PROJECT)
    assert app.label_studio.fetched == [1, 1, 1]
    (problem,) = open_problems(app)
    assert "nnloop score PROJECT --retry" in problem.remedy
    with app.store.begin() as session:
        row = predictions.find(session, version, [1])[1]
        assert (row.attempts, row.not_before) == (3, None)
        predictions.retry_failed(session, version)
    app.label_studio.add_task(1)
    assert not score_chunk(app.context, PROJECT)
    with app.store.begin() as session:
        assert predictions.find(session, version, [1])[1].error == ""
    assert open_problems(app) == []


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
    add(app, 1, noise(40))
    _fetch_with(app, monkeypatch, {1: error})
    with pytest.raises(type(error)):
        score_chunk(app.context, PROJECT)
    assert open_problems(app) == []
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
        add(app, task_id, noise(40))
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
    add(app, 20, noise(40))
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

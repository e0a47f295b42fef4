from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.store import hints
from backend.store.models import InboxRow
from backend.web.inbox import Hint, Inbox
from tests.needed import ON_POSTGRESQL
from tests.unit.backend.web.conftest import Service


def test_hint_is_kept_before_the_answer(service: Service) -> None:
    service.connect(7)
    body = {"action": "ANNOTATION_CREATED", "project": {"id": 7}, "task": {"id": 3}}
    assert service.client.post("/webhook", json=body).json() == {"status": "ok"}
    assert service.hints() == [(7, "ANNOTATION_CREATED", [3])]


@pytest.mark.parametrize(
    "fields",
    [
        {"task": {"id": 3}},
        {"task": [{"id": 3}]},
        {"task": 3},
        {"tasks": {"id": 3}},
        {"tasks": [3, {"id": 3}]},
        {"annotation": {"id": 1, "task": 3}},
        {"annotation": [{"id": 1, "task": 3}]},
        {"annotations": [{"id": 1, "task": 3}, {"id": 2}]},
        # Odd shapes hold nothing, and do no harm.
        {"task": {"id": 3}, "tasks": "text", "annotation": [None, 4.5], "annotations": {"a": [1]}},
        {"tasks": [{"id": 3}, {"id": "x"}, {"id": True}, {"id": -1}, {"id": 10**30}]},
    ],
)
def test_task_ids_are_found_in_any_shape(service: Service, fields: dict[str, object]) -> None:
    body = {"action": "SOMETHING_NEW", "project": 7, **fields}
    assert service.client.post("/webhook", json=body).status_code == 200
    assert service.hints() == [(7, "SOMETHING_NEW", [3])]


def test_large_import_keeps_some_ids(service: Service) -> None:
    tasks = [{"id": i} for i in range(1, 5001)]
    body = {"action": "TASKS_CREATED", "project": 7, "tasks": tasks}
    assert service.client.post("/webhook", json=body).status_code == 200
    assert service.hints() == [(7, "TASKS_CREATED", list(range(1, 1001)))]


def test_webhook_without_payload_hints_at_every_project(service: Service) -> None:
    service.connect(7)
    service.connect(8)
    assert service.client.post("/webhook", json={"action": "TASKS_CREATED"}).status_code == 200
    assert service.hints() == [(7, "TASKS_CREATED", []), (8, "TASKS_CREATED", [])]


def test_training_is_asked_for_one_project_only(service: Service) -> None:
    service.connect(7)
    answer = service.client.post("/webhook", json={"action": "START_TRAINING"})
    assert answer.status_code == 422
    assert "names no project" in answer.json()["detail"]
    assert service.hints() == []


def test_unknown_project_is_kept_and_said_once(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        service.client.post("/webhook", json={"action": "TASKS_CREATED", "project": 9})
    assert len(service.hints()) == 3
    assert caplog.text.count("nnloop connect 9") == 1
    with service.store.begin() as session:
        rows = session.scalars(select(InboxRow)).all()
    assert {row.decision for row in rows} == {"project 9 is not connected"}
    assert all(row.handled_at is not None for row in rows)  # nobody comes back for them
    service.connect(9)
    service.client.post("/webhook", json={"action": "TASKS_CREATED", "project": 9})
    with service.store.begin() as session:
        newest = session.scalars(select(InboxRow).order_by(InboxRow.id.desc()).limit(1)).one()
    assert (newest.decision, newest.handled_at) == ("", None)


def test_a_flood_of_an_unknown_project_is_bounded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "KEPT_UNCONNECTED", 3)
    service.connect(7)
    app = service.client.app
    assert isinstance(app, FastAPI)
    inbox: Inbox = app.state.inbox

    async def put_all() -> None:
        for n in range(4):
            puts = (inbox.put(Hint(project, f"A{n}")) for project in (7, 9) for _ in range(5))
            await asyncio.gather(*puts)

    asyncio.run(put_all())
    kept = service.hints()
    assert [action for project, action, _ in kept if project == 9] == ["A3"] * 3
    assert len([action for project, action, _ in kept if project == 7]) == 20


@pytest.mark.skipif(ON_POSTGRESQL, reason="the database is that of the tests after it, too")
def test_hint_the_store_refuses_is_acknowledged_and_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with service.store.begin() as session:
        session.connection().exec_driver_sql("DROP TABLE inbox")
    body = {"action": "TASKS_CREATED", "project": 9, "tasks": [{"id": 4242}]}
    assert service.client.post("/webhook", json=body).status_code == 200
    assert "A webhook could not be kept yet. The store does not answer" in caplog.text
    assert "4242" not in caplog.text


@pytest.mark.parametrize("is_closed", [False, True])
def test_what_comes_while_the_store_is_away_is_written_when_it_is_back(
    service: Service, monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    """A wish for a training is one of them, and no reading would find it."""
    service.connect(7)
    app = service.client.app
    assert isinstance(app, FastAPI)
    inbox: Inbox = app.state.inbox
    monkeypatch.setattr("backend.web.inbox.AGAIN_S", 60.0 if is_closed else 0.05)

    def away() -> None:
        raise OperationalError("BEGIN", {}, Exception("the server restarts"))

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "begin", away)
        for action in ("TASKS_CREATED", "START_TRAINING"):
            asyncio.run(inbox.put(Hint(7, action)))
    if is_closed:
        inbox.close()
        with service.store.begin() as session:
            found = [row.action for row in session.query(InboxRow).order_by(InboxRow.id)]
    else:
        deadline = time.monotonic() + 20
        while len(service.hints()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = [action for _, action, _ in service.hints()]
    assert found == ["TASKS_CREATED", "START_TRAINING"]


def test_hints_that_wait_are_written_together(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one transaction is under way hundreds come: they are one more, in their order."""
    service.connect(7)
    app = service.client.app
    assert isinstance(app, FastAPI)
    inbox: Inbox = app.state.inbox
    n_begun = 0
    begin = service.store.begin

    @contextmanager
    def counted() -> Iterator[Session]:
        nonlocal n_begun
        n_begun += 1
        with begin() as session:
            yield session
            if n_begun == 1:
                time.sleep(0.3)

    monkeypatch.setattr(service.store, "begin", counted)

    async def put_all() -> None:
        await asyncio.gather(*(inbox.put(Hint(7, f"A{n}")) for n in range(300)))

    asyncio.run(put_all())
    hints = service.hints()
    monkeypatch.undo()
    assert hints == [(7, f"A{n}", []) for n in range(300)]
    assert n_begun < 30


def test_one_hint_that_the_store_refuses_loses_no_other(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.connect(7)
    app = service.client.app
    assert isinstance(app, FastAPI)
    inbox: Inbox = app.state.inbox
    bad = Hint(7, "BAD", (object(),))  # type: ignore[arg-type]

    async def put_all() -> None:
        hints = [Hint(7, "A"), bad, Hint(8, "B"), Hint(7, "C")]
        await asyncio.gather(*map(inbox.put, hints))

    asyncio.run(put_all())
    assert [action for _, action, _ in service.hints()] == ["A", "B", "C"]
    assert caplog.text.count("could not be kept") == 1
    assert "nnloop connect 8" in caplog.text

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.pipeline.basis.context import AppContext
from backend.pipeline.runs import reconcile
from backend.queue import ROLES, QueueName, WorkerInfo
from backend.web.app import create_app
from domain.errors import StackError
from tests.unit.backend.web.conftest import SOON_S, Service, ask_predict

ROOT = Path(__file__).resolve().parents[4]


def test_health_needs_no_credentials_and_root_does(service: Service) -> None:
    service.log_out()
    assert service.client.get("/health").json() == {"status": "UP", "model_class": "nnloop"}
    assert service.client.get("/").status_code == 401


def test_root_answers_as_health(service: Service) -> None:
    assert service.client.get("/").json() == service.client.get("/health").json()


def test_web_process_loads_no_network() -> None:
    code = (
        "import sys, backend.web.app;"
        "sys.exit(' '.join({'torch', 'nnunetv2', 'label_studio_sdk'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_health_and_webhook_are_prompt_while_the_store_is_locked(service: Service) -> None:
    service.connect(7)
    with service.store.begin() as session:
        session.connection()  # takes the only write lock
        started = time.monotonic()
        assert service.client.get("/health").status_code == 200
        assert time.monotonic() - started < 5
        started = time.monotonic()
        hint = {"action": "TASKS_CREATED", "project": {"id": 7}, "tasks": [{"id": 1}]}
        assert service.client.post("/webhook", json=hint).status_code == 200
        assert 0.4 < time.monotonic() - started < 5
    assert service.hints() == [(7, "TASKS_CREATED", [1])]


@pytest.mark.slow
@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_predict_and_setup_end_in_time_while_the_store_is_locked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.web.routes.setup.LIMIT_S", 0.3)
    service.connect(7)
    service.promote(7, "nnloop-1")
    with service.store.begin() as session:
        session.connection()
        for path, body in (
            ("/predict", ask_predict(7, 1)),
            ("/setup", {"project": "7.1", "schema": ""}),
        ):
            started = time.monotonic()
            answer = service.client.post(path, json=body)
            assert (answer.status_code, time.monotonic() - started < 5.0) == (503, True)
            assert "did not answer in time" in answer.json()["detail"]


def test_what_is_stored_is_answered_while_the_store_is_locked(service: Service) -> None:
    service.connect(7)
    service.promote(7, "nnloop-1")
    service.predict(7, 1, score=0.5)
    with service.store.begin() as session:
        session.connection()
        answer = service.client.post("/predict", json=ask_predict(7, 1))
    assert (answer.status_code, answer.json()["results"][0]["score"]) == (200, 0.5)


@pytest.mark.parametrize("deadline_s", [3.0])
def test_others_are_served_while_predict_waits(service: Service) -> None:
    service.connect(7)
    service.promote(7, "nnloop-1")
    waiting = [
        threading.Thread(target=service.client.post, args=["/predict"], kwargs={"json": body})
        for body in (ask_predict(7, i) for i in range(1, 21))
    ]
    for thread in waiting:
        thread.start()
    until = time.monotonic() + 5
    while len(service.queue.asked) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    slowest = 0.0
    while any(thread.is_alive() for thread in waiting):
        started = time.monotonic()
        assert service.client.get("/health").status_code == 200
        slowest = max(slowest, time.monotonic() - started)
    assert 0 < slowest < 2


def test_ticker_runs_as_long_as_the_service(
    context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticked = threading.Event()
    monkeypatch.setattr(reconcile, "tick", lambda _context: ticked.set())
    with TestClient(create_app(context)):
        assert ticked.wait(30)
        assert "ticker" in {thread.name for thread in threading.enumerate()}
    assert "ticker" not in {thread.name for thread in threading.enumerate()}


def test_unexpected_fault_is_a_plain_sentence_and_a_logged_traceback(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("secret-detail")

    monkeypatch.setattr("backend.web.routes.versions._names", break_down)
    answer = service.client.get("/versions")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "nnloop failed on this request. The reason is in its log."}
    assert "ZeroDivisionError" in caplog.text


def test_broken_store_is_a_sentence_without_values(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.connect(7)
    with service.store.begin() as session:
        session.connection().exec_driver_sql("ALTER TABLE project RENAME TO gone")
    body = {"project": 7, "schema": "", "access_token": "secret-legacy-token"}
    answer = service.client.post("/setup", json=body)
    assert answer.status_code == 503
    assert "no such table" in answer.json()["detail"]
    assert "SELECT" not in answer.text + caplog.text
    assert "secret-" not in answer.text + caplog.text


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{secret-token", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),  # deeper than the parser goes
        (b"[]", 422),
        (b"null", 422),
        (b'{"project": "secret-token", "tasks": [{"id": 1}], "action": "X"}', 422),
        (b'{"project": -1, "tasks": [{"id": 1}], "action": "X"}', 422),
        (b'{"project": 99999999999999999999, "tasks": [{"id": 1}], "action": "X"}', 422),
        (b'{"project": true, "tasks": [{"id": 1}], "action": "X"}', 422),
    ],
)
def test_unusable_body_is_refused_without_being_quoted(
    service: Service, path: str, body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = service.client.post(path, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"].endswith("Label Studio sends.")
    assert "secret-" not in answer.text + caplog.text
    assert service.hints() == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_too_large_body_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch, is_chunked: bool
) -> None:
    monkeypatch.setattr("backend.web.routes.webhook.LIMIT_MIB", 1)
    body = b'{"action": "X", "project": 7, "pad": "' + b"x" * 2**20 + b'"}'
    content = (part for part in (body[:1000], body[1000:])) if is_chunked else body
    answer = service.client.post("/webhook", content=content)
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["detail"]
    assert service.hints() == []


def test_body_is_read_whatever_its_content_type(service: Service) -> None:
    hint = b'{"action": "TASKS_CREATED", "project": 7}'
    answer = service.client.post("/webhook", content=hint, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200
    assert service.hints() == [(7, "TASKS_CREATED", [])]


def test_ready_says_why_not(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.log_out()  # watchers have no credentials
    answer = service.client.get("/ready")
    # The fake queue has no worker.
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [f"No worker does {role!r}." for role in ROLES]
    everyone = WorkerInfo("w", tuple(str(name) for name in QueueName), "")
    monkeypatch.setattr(service.queue, "workers", lambda: [everyone])
    assert service.client.get("/ready").json() == {"status": "READY", "reasons": []}
    assert service.client.head("/ready").status_code == 200
    monkeypatch.setattr("backend.pipeline.readiness.LEAST_FREE_BYTES", 1 << 62)
    assert "free in the data folder" in service.client.get("/ready").json()["reasons"][0]


def test_ready_without_redis_or_store(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[WorkerInfo]:
        raise StackError("Redis does not answer.", remedy="Start it.")

    monkeypatch.setattr(service.queue, "workers", away)
    assert service.client.get("/ready").json()["reasons"] == ["Redis does not answer. Start it."]
    service.store.close()
    (service.context.settings.data_dir / "nnloop.db").write_bytes(b"no database" * 500)
    (service.context.settings.data_dir / "nnloop.db-wal").unlink(missing_ok=True)
    reasons = service.client.get("/ready").json()["reasons"]
    assert any("store does not answer" in reason for reason in reasons)


def test_ready_gives_its_reason_where_redis_hangs(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that watch nnloop read ``reasons``, whatever is wrong."""
    is_over = threading.Event()

    def hangs() -> list[WorkerInfo]:
        is_over.wait(10.0)
        return []

    monkeypatch.setattr(service.queue, "workers", hangs)
    monkeypatch.setattr("backend.web.routes.health.READY_S", 0.05)
    answer = service.client.get("/ready")
    is_over.set()
    assert answer.status_code == 503
    assert answer.json()["status"] == "NOT READY"
    assert "did not answer in time" in answer.json()["reasons"][0]

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from backend import delivery
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.notices import Event, keep_notice
from backend.pipeline.runs import control, ends, reconcile
from backend.pipeline.runs.notify import STAGE, deliver_due
from backend.store import projects
from backend.store.forget import forget_project
from backend.store.models import ProjectRow, RunRow
from backend.store.training import notices
from backend.store.training.notices import NoticeRow, NoticeState
from domain.states import RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp

SECRET = "hunter22hunter22"


class _Receiver:
    """A server that keeps what it is sent, and answers with a status."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.bodies.append(json.loads(self.rfile.read(length)))
                self.send_response(received.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://nnloop:{SECRET}@127.0.0.1:{self.server.server_port}/{SECRET}"


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    receiver = _Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def _set(app: FakeApp, command: str = "", url: str = "", on: str = "refused,failed") -> AppContext:
    """The context of a worker that has these settings."""
    settings = app.context.settings.model_copy(
        update={
            "notify_command": SecretStr(command),
            "notify_url": SecretStr(url),
            "notify_on": on,
            "label_studio_url": "http://studio.lab",
            "label_studio_api_key": SecretStr(SECRET),
        }
    )
    return AppContext(settings, app.store, app.queue)


def _python(folder: Path, code: str) -> str:
    script = folder / "tell.py"
    script.write_text(f"import json, os, sys, time\nSECRET = {SECRET!r}\n{code}\n")
    return shlex.join([sys.executable, "-S", str(script)])


def _keep(context: AppContext, run_id: int, event: Event = Event.REFUSED) -> None:
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        keep_notice(session, context.settings, run, event, version="nnloop-v5", verdict="Worse.")


def _rows(app: FakeApp) -> list[NoticeRow]:
    with app.store.begin() as session:
        return list(session.scalars(select(NoticeRow).order_by(NoticeRow.id)))


def _come_due(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.execute(update(NoticeRow).values(not_before=0.0))


def _problems(app: FakeApp) -> list[str]:
    with app.store.begin() as session:
        rows = projects.open_problems(session, PROJECT)
        return [f"{row.message} {row.remedy}" for row in rows if row.stage == STAGE]


def test_both_ways_are_told_once(app: FakeApp, receiver: _Receiver, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        f"open({str(out)!r}, 'a').write(json.dumps([json.load(sys.stdin), dict(os.environ)]) + "
        "chr(10))"
    )
    context = _set(app, _python(tmp_path, code), receiver.url)
    run_id = app.add_run(RunStatus.DONE, 5)
    _keep(context, run_id)
    _keep(context, run_id)  # the step ran twice
    assert reconcile._due_notices(app.context)
    assert deliver_due(context, PROJECT) == []
    assert deliver_due(context, PROJECT) == [] and not reconcile._due_notices(app.context)
    (body,) = receiver.bodies
    given, environment = json.loads(out.read_text())
    assert given == body
    assert body == {
        "id": body["id"],
        "time": body["time"],
        "event": "refused",
        "project": PROJECT,
        "title": "Carotid",
        "run": 5,
        "version": "nnloop-v5",
        "verdict": "Worse.",
        "sentence": "Carotid: nnloop-v5 was not promoted: Worse.",
        "link": f"http://studio.lab/projects/{PROJECT}/data",
    }
    assert environment["NNLOOP_SENTENCE"] == body["sentence"]
    # What nnloop knows is not the command's.
    assert SECRET not in json.dumps(environment)
    assert [row.state for row in _rows(app)] == [NoticeState.SENT] * 2


def test_a_run_that_fails_or_is_cancelled_is_told_of_if_wanted(app: FakeApp) -> None:
    context = _set(app, "true", on="failed,cancelled")
    failed = app.add_run(RunStatus.TRAINING, 1)
    ends.fail(context, failed, "No disk.")
    ends.fail(context, failed, "Again.")  # is over already
    cancelled = app.add_run(RunStatus.TRAINING, 2, control=RunControl.CANCEL)
    assert control.settle(context, cancelled)
    _keep(context, failed, Event.PROMOTED)  # not wanted
    assert [(row.event, row.body["sentence"]) for row in _rows(app)] == [
        ("failed", "Carotid: training run 1 failed: No disk."),
        ("cancelled", "Carotid: training run 2 is cancelled."),
    ]


def test_who_asked_for_nothing_is_told_nothing_later(app: FakeApp, receiver: _Receiver) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    ends.fail(app.context, run_id, "No disk.")  # before the setting was made
    assert deliver_due(_set(app, url=receiver.url), PROJECT) == []
    assert receiver.bodies == [] and _rows(app) == []


def test_a_way_that_is_down_is_tried_again_and_given_up_at_last(
    app: FakeApp, receiver: _Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    context = _set(app, url=receiver.url)
    _keep(context, app.add_run(RunStatus.DONE))
    receiver.status = 302  # would lead elsewhere
    assert deliver_due(context, PROJECT) == ["The address answers with status 302."]
    assert deliver_due(context, PROJECT) == []  # not yet
    (row,) = _rows(app)
    assert abs(row.not_before - time.time() - notices.FIRST_PAUSE_S) < 10
    (problem,) = _problems(app)
    assert "Nobody was told this: Carotid: nnloop-v5 was not promoted" in problem
    assert ". The address answers with status 302. It is tried again for a day." in problem
    assert "NNLOOP_NOTIFY_URL" in problem and "tried again" in problem
    with app.store.begin() as session:
        session.get_one(NoticeRow, row.id).attempts = notices.MOST_TRIES - 2
    _come_due(app)
    deliver_due(context, PROJECT)
    assert _rows(app)[0].not_before - time.time() <= notices.LONGEST_PAUSE_S
    with app.store.begin() as session:
        session.get_one(NoticeRow, row.id).created_at -= notices.GIVE_UP_S
    _come_due(app)
    deliver_due(context, PROJECT)
    _come_due(app)
    assert deliver_due(context, PROJECT) == [] and len(receiver.bodies) == 3
    (problem,) = _problems(app)
    assert "given up" in problem
    # The next one comes through, and nothing is wrong any more.
    receiver.status = 204
    _keep(context, app.add_run(RunStatus.DONE, 2))
    assert deliver_due(context, PROJECT) == []
    assert _problems(app) == []
    assert SECRET not in caplog.text + problem


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('no ' + 'mailer', file=sys.stderr); sys.exit(3)", "with status 3: no mailer"),
        ("os.kill(os.getpid(), 9)", "with SIGKILL"),
        ("time.sleep(60)", "took longer than 0 s and was ended"),
        ("if os.fork(): time.sleep(60)\nopen(sys.argv[0] + '.left', 'w'); time.sleep(60)", "took"),
    ],
)
def test_a_command_that_fails_or_hangs_is_ended(
    app: FakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_S", 0.4 if "sleep" in code else 20.0)
    context = _set(app, _python(tmp_path, code))
    _keep(context, app.add_run(RunStatus.DONE))
    began = time.monotonic()
    (why,) = deliver_due(context, PROJECT)
    assert said in why and SECRET not in why
    assert time.monotonic() - began < 15
    assert _rows(app)[0].state == NoticeState.WAITING


def test_a_command_that_says_much_fills_no_disk_and_its_words_stay_secret(
    app: FakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest: list[int] = []

    def watch() -> None:
        for folder in tmp_path.glob("nnloop-notice-*"):
            largest.extend(path.stat().st_size for path in folder.iterdir())

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        # What is kept of it begins within the secret.
        f"sys.stdout.write('x' * {20 * 1024 * 1024} + SECRET[:8] + SECRET[8:] + ' ')\n"
        f"sys.stdout.write('y' * ({delivery._KEPT} + {len(SECRET)}) + ' end')\n"
        f"sys.stdout.flush(); open({str(tmp_path / 'said')!r}, 'w'); time.sleep(0.3); sys.exit(3)"
    )
    context = _set(app, _python(tmp_path, code) + " " + SECRET)
    _keep(context, app.add_run(RunStatus.DONE))
    failed: list[str] = []
    thread = threading.Thread(target=lambda: failed.extend(deliver_due(context, PROJECT)))
    thread.start()
    while thread.is_alive():
        if (tmp_path / "said").exists():
            watch()
        time.sleep(0.01)
    (why,) = failed
    assert "with status 3: yyy" in why and not any(
        SECRET[n:] in why for n in range(len(SECRET) - 4)
    )
    assert 0 < max(largest) < 10_000


def test_an_address_that_drips_is_left_when_the_time_is_over(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_S", 1.0)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            one, _ = server.accept()
            with one, contextlib.suppress(OSError):
                while not ended.wait(0.1):
                    one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            ended.set()

        thread = threading.Thread(target=drip)
        thread.start()
        context = _set(app, url=f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}")
        _keep(context, app.add_run(RunStatus.DONE))
        done = threading.Event()
        failed: list[str] = []

        def tell() -> None:
            failed.extend(deliver_due(context, PROJECT))
            done.set()

        threading.Thread(target=tell, daemon=True).start()
        is_over = done.wait(15)
        # Nobody stays behind at it.
        is_left = ended.wait(15)
        ended.set()
        thread.join()
    assert is_over and failed == ["The address took longer than 1 s."]
    assert is_left


def test_a_command_that_is_not_there(app: FakeApp) -> None:
    context = _set(app, f"/no/such/{SECRET}")
    _keep(context, app.add_run(RunStatus.DONE))
    (why,) = deliver_due(context, PROJECT)
    assert "with status 127" in why or "126" in why
    assert SECRET not in why


def test_who_dies_while_telling_leaves_it_to_the_next(app: FakeApp, receiver: _Receiver) -> None:
    context = _set(app, url=receiver.url)
    _keep(context, app.add_run(RunStatus.DONE))
    with app.store.begin() as session:
        assert notices.claim(session, PROJECT) is not None  # and is killed
    assert deliver_due(context, PROJECT) == [] and receiver.bodies == []  # it may still be at it
    _come_due(app)
    assert deliver_due(context, PROJECT) == [] and len(receiver.bodies) == 1


def test_one_at_which_every_worker_dies_is_given_up(app: FakeApp, receiver: _Receiver) -> None:
    context = _set(app, url=receiver.url)
    for number in (1, 2):
        _keep(context, app.add_run(RunStatus.DONE, number))
    with app.store.begin() as session:
        session.get_one(NoticeRow, 1).attempts = notices.MOST_TRIES
    assert deliver_due(context, PROJECT) == []
    assert [row.state for row in _rows(app)] == [NoticeState.GIVEN_UP, NoticeState.SENT]


def test_a_setting_that_went_and_a_project_that_went(app: FakeApp, receiver: _Receiver) -> None:
    context = _set(app, url=receiver.url)
    _keep(context, app.add_run(RunStatus.DONE))
    assert deliver_due(app.context, PROJECT) == []  # where nothing is set any more
    (row,) = _rows(app)
    assert row.state == NoticeState.GIVEN_UP and "not set any more" in row.error
    _keep(context, app.add_run(RunStatus.DONE, 2))
    receiver.status = 500

    with app.store.begin() as session:
        claimed = notices.claim(session, PROJECT)
        assert claimed is not None
        forget_project(session, PROJECT)
        assert notices.settle(session, claimed.id, "late") is None
    assert _rows(app) == []
    with app.store.begin() as session:
        assert session.get(ProjectRow, PROJECT) is None


def test_settled_ones_go_and_waiting_ones_stay(app: FakeApp) -> None:
    context = _set(app, "true")
    for number in (1, 2):
        _keep(context, app.add_run(RunStatus.DONE, number))
    with app.store.begin() as session:
        session.execute(update(NoticeRow).values(created_at=0.0))
        session.execute(update(NoticeRow).where(NoticeRow.id == 1).values(state=NoticeState.SENT))
        ids = notices.find_old(session, time.time(), 10)
        notices.forget(session, ids)
    assert len(ids) == 1
    assert [row.id for row in _rows(app)] == [2]

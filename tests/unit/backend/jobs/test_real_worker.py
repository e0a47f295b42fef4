"""The loop worker as a process of its own, with a real Redis and a Label Studio that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from backend.pipeline.basis.context import AppContext
from backend.pipeline.runs import reconcile
from backend.queue import JobQueue
from backend.stack.ports import free_port
from backend.stack.process import ManagedProcess
from backend.stack.redis_server import RedisServer
from backend.store import projects
from backend.store.models import PauseRow
from backend.store.training.notices import Channel, NoticeRow
from tests.fakes.app import PROJECT, FakeApp

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.slow
def test_pushing_that_fails_is_one_problem_and_not_a_traceback_every_few_seconds(
    app: FakeApp, tmp_path: Path
) -> None:
    app.add_version()  # put in service by hand: its push is due until it has been done
    redis = RedisServer.open(tmp_path / "redis")
    process = ManagedProcess(redis.spec())
    process.start()
    log, told = tmp_path / "loop.log", tmp_path / "told"
    with app.store.begin() as session:
        notice = NoticeRow(project_id=PROJECT, run_id=1, event="failed", body={"run": 5})
        notice.channel = Channel.COMMAND
        session.add(notice)
    environment = {
        "NNLOOP_LOG_FORMAT": "json",
        "NNLOOP_NOTIFY_COMMAND": f"tee -a {told}",
        **os.environ,
        "NNLOOP_DATA_DIR": str(app.context.settings.data_dir),
        "NNLOOP_REDIS_URL": redis.url,
        "LABEL_STUDIO_URL": f"http://127.0.0.1:{free_port()}",
        "LABEL_STUDIO_API_KEY": "a" * 40,
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "backend.cli", "worker", "--role", "loop", "--name", "loop"]
    queue = JobQueue(redis.url)
    context = AppContext(app.context.settings, app.store, queue)
    with log.open("w") as file:
        worker = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file, stderr=file)
    try:
        attempts, asked = 0, 0
        ends = time.monotonic() + 60
        started = 0.0
        while time.monotonic() < ends and (not started or time.monotonic() - started < 7.5):
            # The web process does this every second.
            for name, ids in reconcile._due_pushes(context):
                asked += queue.ensure(name, *ids)
            for name, ids in reconcile._due_notices(context):
                queue.ensure(name, *ids)
            with app.store.begin() as session:
                row = session.get(PauseRow, (PROJECT, "publish"))
                attempts = row.attempts if row else 0
            if attempts and not started:
                started = time.monotonic()
            time.sleep(0.25)
        assert started, log.read_text()
        assert attempts == 1 and asked == 1
        with app.store.begin() as session:
            (problem,) = projects.open_problems(session, PROJECT)
        assert (problem.stage, problem.reason) == ("publish", "label_studio")
        assert "Traceback" not in log.read_text()
        lines = list(map(json.loads, log.read_text().splitlines()))
        (failed,) = (line for line in lines if "publish failed" in line["message"])
        assert (failed["project"], failed["job"]) == (PROJECT, f"publish-{PROJECT}")
        (delivered,) = (line for line in lines if "was delivered" in line["message"])
        assert (delivered["run"], delivered["job"]) == (5, f"notify-{PROJECT}")
        assert json.loads(told.read_text()) == {"run": 5}  # once
        [known] = queue.workers()
        assert known.queues == ("nnloop-loop",)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
        process.stop()


@pytest.mark.slow
def test_one_worker_per_device_of_the_machine_says_what_it_has(tmp_path: Path) -> None:
    """As in a container: `--device all`, and everything ends with it."""
    redis = RedisServer.open(tmp_path / "redis")
    process = ManagedProcess(redis.spec())
    process.start()
    environment = {
        **os.environ,
        "NNLOOP_DATA_DIR": str(tmp_path / "data"),
        "NNLOOP_REDIS_URL": redis.url,
        "NNLOOP_DEVICES": "cuda:0,cuda:1",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "backend.cli", "worker", "--role", "train", "--device", "all"]
    queue = JobQueue(redis.url)
    log = tmp_path / "log"
    with log.open("w") as file:
        machine = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file, stderr=file)
    try:
        ends = time.monotonic() + 120
        while time.monotonic() < ends and len(queue.workers()) < 2:
            time.sleep(0.25)
        while time.monotonic() < ends and log.read_text().count("ready") < 2:
            time.sleep(0.25)
        found = queue.workers()
        assert [worker.device for worker in found] == ["cuda:0", "cuda:1"], log.read_text()
        assert {worker.queues for worker in found} == {("nnloop-train",)}
        pids = [int(worker.name.split("-")[-2]) for worker in found]
        machine.send_signal(signal.SIGTERM)
        assert machine.wait(60) == 0, log.read_text()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert queue.workers() == []
    finally:
        machine.kill()
        machine.wait()
        process.stop()

"""What the web service takes: ``python -m benchmarks.service_web``.

A real `nnloop serve` on a store of its own, asked as Label Studio asks: each webhook by a
connection of its own, at a steady rate whatever the answers take. Prints the 99th percentile of
webhooks and of /predict from the store (with as many busy processes as cores beside it, of a
training's priority), the most memory of the service and its longest silence while it reads a body
of 59 MiB of small tasks, and how many of 1,500 unfinished requests are still open after 15 seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.stack.ports import LOOPBACK, free_port
from backend.stack.process import ManagedProcess
from backend.stack.redis_server import RedisServer
from backend.stack.service import web_spec
from backend.store.database import STORE_FILE
from backend.store.identity import source_in
from backend.store.models import PredictionRow, ProjectRow, RunRow, TaskRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions

PROJECT, N_TASKS = 1, 200
USER, PASSWORD = "bench", "a-password-of-the-benchmark"
XML = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/></PolygonLabels></View>'
)
BODY_MIB = 59
N_OPEN = 1500
# As a training's workers: they stand back for whoever waits for an answer.
BUSY = (
    "import sys\n"
    "try:\n"
    "    from training.processes.priority import stand_back\n"
    "    stand_back()\n"
    "except ImportError:\n"
    "    pass\n"
    "while True: sum(range(10_000))\n"
)
# As a worker that stores predictions: 20 ms of every 40.
WRITES = (
    "import sqlite3, sys, time\n"
    "store = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n"
    "while True:\n"
    "    store.execute('BEGIN IMMEDIATE')\n"
    "    store.execute(\"UPDATE project SET title = 't'\")\n"
    "    time.sleep(0.02)\n"
    "    store.execute('COMMIT')\n"
    "    time.sleep(0.02)\n"
)


@dataclass(frozen=True, slots=True)
class Served:
    """A web service that runs, its process, and its store."""

    port: int
    process: psutil.Process
    store: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"


@contextmanager
def served(**more: Any) -> Iterator[Served]:
    """A web service with a connected project and predictions of its tasks.

    ``more``: settings of it.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nnloop-bench-")))
        redis = RedisServer.open(folder / "redis")
        settings = Settings.load(
            data_dir=folder,
            database_url="",
            redis_url=redis.url,
            host=LOOPBACK,
            port=free_port(),
            basic_auth_user=USER,
            basic_auth_pass=PASSWORD,
            log_level="ERROR",
            **more,
        )
        _fill(settings)
        for spec in (redis.spec(), web_spec(settings)):
            process = ManagedProcess(spec)
            stack.callback(process.stop)
            process.start()
        assert process.pid is not None
        service = Served(settings.port, psutil.Process(process.pid), folder / STORE_FILE)
        # The first calls import and compile.
        webhook_p99_ms(service, rate=20, seconds=1.0)
        predict_p99_ms(service, rate=20, seconds=1.0, n_busy=0)
        yield service


def webhook_p99_ms(
    service: Served, *, rate: int = 200, seconds: float = 10.0, is_store_busy: bool = False
) -> float:
    """Webhooks at a steady rate: the time in which 99 of 100 are answered, in ms.

    ``is_store_busy``: another process writes into the store meanwhile, half of the time.
    """
    body = {
        "action": "ANNOTATION_CREATED",
        "project": {"id": PROJECT, "title": "t", "token": "t" * 40},
        "annotation": {"id": 7, "task": 3, "result": [{"value": {"points": [[1.5, 2.5]] * 40}}]},
        "task": {"id": 3, "data": {"image": "/data/upload/3.png"}},
    }
    with _writing(service, is_on=is_store_busy):
        return _p99_ms(asyncio.run(_steadily(service, "/webhook", [body], rate, seconds)))


def predict_p99_ms(
    service: Served, *, rate: int = 20, seconds: float = 10.0, n_busy: int | None = None
) -> float:
    """/predict of one task that the store knows, in ms.

    ``n_busy``: so many processes train meanwhile, and another one writes into the store; None: as
    many as there are cores; 0: nothing else is done.
    """
    bodies = [
        {
            "tasks": [{"id": i, "data": {"image": f"/data/upload/{i}.png"}}],
            "project": PROJECT,
            "label_config": XML,
        }
        for i in range(1, N_TASKS + 1)
    ]
    n_busy = os.cpu_count() or 1 if n_busy is None else n_busy
    with _beside([[sys.executable, "-c", BUSY]] * n_busy), _writing(service, is_on=n_busy > 0):
        return _p99_ms(asyncio.run(_steadily(service, "/predict", bodies, rate, seconds)))


@dataclass(frozen=True, slots=True)
class Peak:
    """What a large body cost: memory beyond that of before, the longest silence, the status."""

    mb: float
    silence_ms: float
    seconds: float
    status: int


def peak_mb(service: Served, body: bytes | None = None) -> Peak:
    """A /predict body (59 MiB of small tasks unless given), and /health asked meanwhile."""
    body = body or small_tasks(BODY_MIB)
    before = service.process.memory_info().rss
    most, longest, is_over = before, 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_over.wait(0.01):
            most = max(most, service.process.memory_info().rss)

    def ask() -> None:
        nonlocal longest
        while not is_over.wait(0.02):
            began = time.monotonic()
            with suppress(httpx.HTTPError):
                httpx.get(f"{service.url}/health", timeout=120, trust_env=False)
            longest = max(longest, time.monotonic() - began)

    threads = [threading.Thread(target=one) for one in (watch, ask)]
    for one in threads:
        one.start()
    began = time.monotonic()
    try:
        answer = httpx.post(
            f"{service.url}/predict",
            content=body,
            auth=(USER, PASSWORD),
            timeout=300,
            trust_env=False,
        )
        status = answer.status_code
    except httpx.HTTPError:
        status = 0
    took = time.monotonic() - began
    is_over.set()
    for one in threads:
        one.join()
    return Peak((most - before) / 1e6, 1000 * longest, took, status)


def open_after(service: Served, *, n_open: int = N_OPEN, seconds: float = 15.0) -> int:
    """How many of so many unfinished requests the service still holds after some seconds."""
    return asyncio.run(_left_open(service, n_open, seconds))


def small_tasks(mib: float) -> bytes:
    """A /predict body of so many MiB with as many tasks as fit."""
    one = b'{"id":1,"data":{}},'
    tasks = one * int(mib * 2**20 / len(one))
    return b'{"project":1,"tasks":[' + tasks[:-1] + b"]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    parser.add_argument("--rate", type=int, default=200, help="webhooks per second")
    given = parser.parse_args(arguments)
    print(json.dumps(measured(seconds=given.seconds, rate=given.rate)))


def measured(*, seconds: float = 10.0, rate: int = 200) -> dict[str, Any]:
    """The figures by name, times in ms.

    Args:
        seconds: Of each rate.
        rate: Webhooks per second.
    """
    _raise_limit_of_files()
    with served() as service:
        figures: dict[str, Any] = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
            "webhooks_per_s": rate,
            "webhook_p99_ms": webhook_p99_ms(service, rate=rate, seconds=seconds),
            "webhook_p99_ms_busy_store": webhook_p99_ms(
                service, rate=rate, seconds=seconds, is_store_busy=True
            ),
            "predict_p99_ms": predict_p99_ms(service, seconds=seconds, n_busy=0),
            "predict_p99_ms_while_training": predict_p99_ms(service, seconds=seconds),
            "open_after_15_s": open_after(service),
        }
        peak = peak_mb(service)
        figures |= {
            "peak_mb": peak.mb,
            "peak_silence_ms": peak.silence_ms,
            "peak_seconds": peak.seconds,
            "peak_status": peak.status,
        }
    return {k: round(v, 1) if isinstance(v, float) else v for k, v in figures.items()}


def _fill(settings: Settings) -> None:
    context = AppContext.open(settings)
    with context.store.begin() as session:
        session.add(ProjectRow(id=PROJECT, title="t", label_config=XML))
        run = RunRow(project_id=PROJECT, number=1)
        session.add(run)
        session.flush()
        version = VersionRow(project_id=PROJECT, run_id=run.id, name="nnloop-v1", path="v1")
        session.add(version)
        session.flush()
        versions.promote(session, version)
        region = {
            "id": "r",
            "from_name": "label",
            "to_name": "image",
            "type": "polygonlabels",
            "value": {"points": [[1.5, 2.5]] * 40, "closed": True, "polygonlabels": ["lumen"]},
        }
        for i in range(1, N_TASKS + 1):
            data = {"image": f"/data/upload/{i}.png"}
            source = source_in(data, "", ["image"])
            session.add(TaskRow(id=i, project_id=PROJECT, data=data, source=source))
            session.flush()
            row = PredictionRow(
                project_id=PROJECT, task_id=i, version_id=version.id, result=[region], score=0.9
            )
            row.source, row.image_hash = source, ""
            predictions.save(session, row)
    context.store.close()


def _writing(service: Served, *, is_on: bool) -> AbstractContextManager[None]:
    return _beside([[sys.executable, "-c", WRITES, str(service.store)]] if is_on else [])


@contextmanager
def _beside(commands: Sequence[Sequence[str]]) -> Iterator[None]:
    running = [subprocess.Popen(command, start_new_session=True) for command in commands]
    try:
        time.sleep(1.0 if running else 0.0)
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


async def _steadily(
    service: Served, path: str, bodies: Sequence[dict[str, Any]], rate: int, seconds: float
) -> list[float]:
    """Seconds that each call took; one that is not answered with 200 counts as an hour."""
    requests = [_request(path, json.dumps(body).encode()) for body in bodies]
    began = time.monotonic()
    calls = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        request = requests[number % len(requests)]
        calls.append(asyncio.create_task(_call(service.port, request)))
    return list(await asyncio.gather(*calls))


async def _call(port: int, request: bytes) -> float:
    began = time.monotonic()
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        if answer.startswith(b"HTTP/1.1 200"):
            return time.monotonic() - began
    return 3600.0


def _request(path: str, body: bytes) -> bytes:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Basic {login}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


async def _left_open(service: Served, n_open: int, seconds: float) -> int:
    """A third says nothing, a third half a head, a third half a body."""
    half = _request("/predict", b"{" * 1000)[:-500]
    starts = (b"", b"POST /predict HTTP/1.1\r\nHost: x\r\n", half)
    pairs = []
    for number in range(n_open):
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(LOOPBACK, service.port)
            writer.write(starts[number % 3])
            pairs.append((reader, writer))
    await asyncio.sleep(seconds)
    left = 0
    for reader, writer in pairs:
        try:
            await asyncio.wait_for(reader.read(), 0.001)
        except TimeoutError:
            left += 1
        except OSError:
            pass
        writer.close()
    return left + n_open - len(pairs)


def _p99_ms(seconds: Sequence[float]) -> float:
    ranked = sorted(seconds)
    return 1000 * ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))]


def _raise_limit_of_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()

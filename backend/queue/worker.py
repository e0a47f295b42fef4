"""A worker: takes jobs from queues and runs them in its own process."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.log_lines import about
from backend.queue.connection import (
    DEATHS_KEY,
    HEARTBEAT_KEY,
    HEARTBEAT_S,
    HEARTBEAT_TTL_S,
    claim,
    redis_errors,
)
from backend.queue.job_queue import JobQueue
from backend.queue.names import JobName, QueueName
from backend.queue.worker_info import WorkerInfo
from domain.errors import NnloopError, StackError

logger = logging.getLogger(__name__)

# Functions that a module of jobs may have: called in a worker before its first job, after its last.
PREPARE, FINISH = "prepare", "finish"

LONGEST_JOB_S = 400 * 24 * 3600

IDLE_LOOK_S = 1.0
"""Between two looks whether a worker is idle."""

_stop = threading.Event()


def stop_requested() -> bool:
    """Whether this worker process was asked to end; long jobs look at it and return early."""
    return _stop.is_set()


@dataclass(frozen=True, slots=True)
class Stay:
    """How long a worker stays, by default until it is asked to end.

    Attributes:
        until_empty: It ends when no job waits.
        idle_s: It ends when none has come for so many seconds.
        longest_s: It ends after so many seconds, whatever it does.
    """

    until_empty: bool = False
    idle_s: float | None = None
    longest_s: float | None = None


@contextmanager
def _ending_after(seconds: float | None) -> Iterator[None]:
    """Asks this process to end after some time, as a signal from outside would."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _ending_when_idle(worker: _Worker, seconds: float | None) -> Iterator[None]:
    """As RQ does, which counts by the wall's clock: that may be set back while a worker waits."""
    if seconds is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        since = time.monotonic()
        while not ended.wait(IDLE_LOOK_S):
            if worker.current_job_id():
                since = time.monotonic()
            elif time.monotonic() - since > seconds + 2 * IDLE_LOOK_S:
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    threading.Thread(target=watch, name="idle", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def work(
    url: str,
    queues: Sequence[QueueName],
    *,
    label: str = "worker",
    installation: str = "",
    device: tuple[str, int] = ("", 0),
    stay: Stay | None = None,
) -> None:
    """Runs a worker in this process until it is asked to end (SIGTERM, SIGINT or SIGUSR1).

    Jobs run in the process itself, so that warm networks stay loaded between jobs. Others find in
    its heartbeat which ``device`` it has, and how many MiB of memory that is. What it trains when
    it ends is given back, and goes on from its last epoch wherever the next worker is.

    Raises:
        StackError: Redis does not answer, or those at work there use another data folder than
            ``installation`` names: this worker would find neither projects nor cases.
    """
    # Imported before the first job: an annotator should not wait for torch to load.
    names = sorted({job.rpartition(".")[0] for job in JobName if job.queue in queues})
    modules = [importlib.import_module(name) for name in names]
    # By a connection of its own: RQ gives those it makes the long timeout of a waiting worker.
    JobQueue(url, installation).claim()
    for module in modules:
        getattr(module, PREPARE, lambda: None)()
    redis = Redis.from_url(url, health_check_interval=15)
    name = f"{label}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    worker = _Worker(
        [Queue(str(q), connection=redis, serializer=JSONSerializer) for q in queues],
        name=name,
        connection=redis,
        serializer=JSONSerializer,
    )
    # RQ handles SIGINT and SIGTERM itself, by calling request_stop. Forked children must not
    # inherit that: a multiprocessing pool ends its processes by SIGTERM and would wait forever
    # for one that only takes note of it.
    os.register_at_fork(after_in_child=_default_signals)
    try:
        info = WorkerInfo(name, tuple(queues), "", *device)
        now = partial(_now, info, worker)
        with redis_errors(), _heartbeat(redis, name, now, installation):
            stay = stay or Stay()
            # Batch systems say so before the time of a job is up.
            signal.signal(signal.SIGUSR1, worker.request_stop)
            with _ending_after(stay.longest_s), _ending_when_idle(worker, stay.idle_s):
                worker.work(
                    burst=stay.until_empty and stay.idle_s is None,
                    max_idle_time=None if stay.idle_s is None else max(1, round(stay.idle_s)),
                    with_scheduler=False,
                    logging_level="WARNING",
                )
    finally:
        # Also when Redis went: what is at work in a thread must not keep the process alive.
        _stop.set()
        for module in modules:
            getattr(module, FINISH, lambda: None)()


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


class _Worker(SimpleWorker):  # type: ignore[misc]  # rq is not typed here
    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        _stop.set()
        super().request_stop(signum, frame)

    def get_heartbeat_ttl(self, job: Any) -> int:
        # RQ calls a job abandoned that runs for longer than this, and trainings take days, on a
        # CPU weeks. Who died at one is known by our own heartbeats.
        return LONGEST_JOB_S

    def handle_job_success(self, job: Any, queue: Any, started_job_registry: Any) -> None:
        if self._is_kept(job.id):
            super().handle_job_success(job, queue, started_job_registry)
            return
        # Redis has lost it, or it was taken for dead while Redis was away and another worker has
        # ended it. It is done all the same: RQ would call it failed.
        logger.info("%s is done; Redis no longer had it.", job.id)
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline)
            pipeline.execute()
        if not self._is_kept(job.id):
            self.connection.delete(job.key)  # what RQ has written of its end

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        error = exc_info[1]
        if isinstance(error, NnloopError):
            # Its cause is outside and may last for days: a sentence is enough each time.
            logger.error("%s failed: %s", job.id, error.in_full)
        else:
            super().handle_exception(job, *exc_info)

    def _is_kept(self, job_id: str) -> bool:
        return bool(self.connection.hexists(Job.key_for(job_id), "status"))

    def current_job_id(self) -> str:
        return str(self._current or "")

    _current: str = ""

    def execute_job(self, job: Any, queue: Any) -> None:
        self._current = job.id
        try:
            with about(job=job.id, **_project_of(job)):
                super().execute_job(job, queue)
            self.connection.delete(DEATHS_KEY.format(job=job.id))
        finally:
            self._current = ""


def _project_of(job: Any) -> dict[str, int]:
    """What a job's name and arguments tell of its project, for the log."""
    try:
        name, arguments = JobName(job.func_name), job.args
    except Exception:  # noqa: BLE001 - one that can't be read fails where it is executed
        return {}
    return {} if name.is_of_run or not arguments else {"project": arguments[0]}


def _now(info: WorkerInfo, worker: _Worker) -> str:
    return replace(info, job_id=worker.current_job_id()).to_text()


@contextmanager
def _heartbeat(
    redis: Redis, name: str, now: Callable[[], str], installation: str
) -> Iterator[None]:
    key = HEARTBEAT_KEY.format(name=name)
    ended = threading.Event()

    def beat() -> None:
        while True:
            try:
                redis.set(key, now(), ex=HEARTBEAT_TTL_S)
                claim(redis, installation)
            except StackError as error:
                logger.error(error.in_full)
            except RedisError as error:
                logger.warning("Redis did not take the heartbeat: %s", error)
            if ended.wait(HEARTBEAT_S):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        redis.delete(key)

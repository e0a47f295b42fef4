"""The job queue: RQ behind one small class. The only module that imports rq.

Redis only delivers. What has to be done is in the store, so a job that Redis lost, or whose worker
was killed, is enqueued again by ``backend.pipeline.runs.reconcile``.
"""

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
from dataclasses import replace
from enum import StrEnum
from functools import partial
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend.worker_info import WorkerInfo
from domain.errors import StackError

logger = logging.getLogger(__name__)

# A worker says every few seconds that it lives; after this many it counts as dead. Short, because
# the jobs of a killed worker wait that long; long enough for a machine that swaps.
HEARTBEAT_S = 4
HEARTBEAT_TTL_S = 15
# A job that failed is not enqueued again at once: its cause (a server that is down) needs time.
FAILED_PAUSE_S = 5.0
# Redis answers within milliseconds; one that is cut off must not hold up a tick for minutes.
SOCKET_TIMEOUT_S = 10.0
# Failed jobs stay in Redis this long, for a person; the ledger keeps the error for good.
FAILURE_TTL_S = 7 * 24 * 3600
# Functions that a module of jobs may have: called in a worker before its first job, after its last.
PREPARE, FINISH = "prepare", "finish"
_HEARTBEAT_KEY = "nnloop:worker:{name}"
# Which data folder the processes at this Redis work on; forgotten soon after the last one ended.
_INSTALLATION_KEY = "nnloop:installation"
_INSTALLATION_TTL_S = 2 * HEARTBEAT_TTL_S


class QueueName(StrEnum):
    """Queues, most urgent first."""

    INTERACTIVE = "nnloop-interactive"
    LOOP = "nnloop-loop"
    STEP = "nnloop-step"
    SCORE = "nnloop-score"
    TRAIN = "nnloop-train"


ROLES = {
    "train": (QueueName.TRAIN,),
    "predict": (QueueName.INTERACTIVE, QueueName.STEP, QueueName.SCORE),
    "loop": (QueueName.LOOP,),
}
"""What a worker does, by the word an admin uses: its queues, most urgent first.

Reading Label Studio and pushing to it has a worker of its own, so that it waits for no image and no
network, and no annotator waits for it.
"""


class JobName(StrEnum):
    """Dotted names of the jobs; arguments are ids. A test resolves every one."""

    SYNC = "backend.jobs.loop.sync"
    ADVANCE = "backend.jobs.step.advance"
    PUBLISH = "backend.jobs.loop.publish"
    FILL = "backend.jobs.loop.fill"
    CHECK = "backend.jobs.loop.check"
    PUSH = "backend.jobs.loop.push"
    SCORE = "backend.jobs.score.score"
    PREDICT = "backend.jobs.score.predict"
    EMBED = "backend.jobs.embed.embed"
    TRAIN_FOLD = "backend.jobs.train.train_fold"

    @property
    def queue(self) -> QueueName:
        """The queue its jobs go to."""
        return _QUEUE_OF[self]


_QUEUE_OF = {
    JobName.SYNC: QueueName.LOOP,
    JobName.ADVANCE: QueueName.STEP,
    JobName.PUBLISH: QueueName.LOOP,
    JobName.FILL: QueueName.LOOP,
    JobName.CHECK: QueueName.LOOP,
    JobName.PUSH: QueueName.LOOP,
    JobName.SCORE: QueueName.SCORE,
    JobName.PREDICT: QueueName.INTERACTIVE,
    JobName.EMBED: QueueName.SCORE,
    JobName.TRAIN_FOLD: QueueName.TRAIN,
}


class JobQueue:
    """Enqueues jobs by name. Thread-safe."""

    def __init__(self, url: str, installation: str = "") -> None:
        """Opens nothing yet.

        Args:
            url: Redis's; with an empty one every call raises StackError.
            installation: The data folder's name (``installation_id``); empty: none is compared.
        """
        self._installation = installation
        self._connection = (
            Redis.from_url(
                url,
                socket_connect_timeout=3,
                socket_timeout=SOCKET_TIMEOUT_S,
                health_check_interval=15,
            )
            if url
            else None
        )

    def __repr__(self) -> str:
        return "JobQueue()"

    @property
    def _redis(self) -> Redis:
        if self._connection is None:
            raise StackError(
                "nnloop is not running here: NNLOOP_REDIS_URL is not set, and no `nnloop up` works "
                "on this data folder.",
                remedy="Start it (nnloop up), or name the Redis server it uses.",
            )
        return self._connection

    def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False

    def claim(self) -> None:
        """Says that processes on this data folder are at work here.

        Raises:
            StackError: Others are, on another data folder, or Redis does not answer.
        """
        with _redis_errors():
            _claim(self._redis, self._installation)

    def is_of_others(self) -> bool:
        """Whether processes on another data folder are at work at this Redis."""
        with _redis_errors():
            found = _text(self._redis.get(_INSTALLATION_KEY) or "")
        return bool(found and self._installation and found != self._installation)

    def ensure(self, name: JobName, *ids: int) -> bool:
        """Makes sure that the job is queued or running; returns whether it was enqueued now.

        A job whose worker is dead, or that ended, is enqueued anew; one that failed, after a
        pause. Raises StackError when Redis does not answer.
        """
        job_id = "-".join([name.rsplit(".", 1)[-1], *map(str, ids)])
        with _redis_errors():
            for _ in range(2):
                try:
                    self._queue(name.queue).enqueue(
                        str(name),
                        args=ids,
                        job_id=job_id,
                        unique=True,
                        job_timeout=-1,
                        result_ttl=0,
                        failure_ttl=FAILURE_TTL_S,
                    )
                    return True
                except DuplicateJobError:
                    if self._is_pending(job_id):
                        return False
                    self._forget(job_id)
        return False

    def counts(self) -> dict[str, int]:
        """Jobs that wait, per queue."""
        with _redis_errors():
            return {str(name): self._queue(name).count for name in QueueName}

    def has_waiting(self, name: QueueName) -> bool:
        """Whether a job waits in a queue."""
        with _redis_errors():
            return bool(self._queue(name).count)

    def workers(self) -> list[WorkerInfo]:
        """Live workers."""
        with _redis_errors():
            found = []
            for key in self._redis.scan_iter(_HEARTBEAT_KEY.format(name="*")):
                value = self._redis.get(key)
                if value is not None:
                    name = _text(key).rsplit(":", 1)[-1]
                    found.append(WorkerInfo.from_text(name, _text(value)))
            return sorted(found, key=lambda worker: worker.name)

    def _queue(self, name: QueueName) -> Queue:
        return Queue(str(name), connection=self._redis, serializer=JSONSerializer)

    def _is_pending(self, job_id: str) -> bool:
        job = self._fetch(job_id)
        if job is None:
            return False
        status = job.get_status()
        if status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED):
            # A job that says 'queued' but stands in no list was being handed over when a worker
            # died: give it the time of a handover, then count it as lost.
            enqueued = job.enqueued_at.timestamp() if job.enqueued_at else 0.0
            in_list = job_id in self._queue(QueueName(job.origin)).job_ids
            return in_list or time.time() - enqueued < HEARTBEAT_TTL_S
        if status == JobStatus.STARTED:
            return bool(self._redis.exists(_HEARTBEAT_KEY.format(name=job.worker_name)))
        if status == JobStatus.FAILED and job.ended_at is not None:
            return bool(time.time() - job.ended_at.timestamp() < FAILED_PAUSE_S)
        return False

    def _fetch(self, job_id: str) -> Job | None:
        try:
            return Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return None

    def _forget(self, job_id: str) -> None:
        job = self._fetch(job_id)
        if job is not None:
            job.delete()


_stop = threading.Event()


def stop_requested() -> bool:
    """Whether this worker process was asked to end; long jobs look at it and return early."""
    return _stop.is_set()


def work(
    url: str,
    queues: Sequence[QueueName],
    *,
    label: str = "worker",
    installation: str = "",
    device: tuple[str, int] = ("", 0),
) -> None:
    """Runs a worker in this process until it is asked to end (SIGTERM or SIGINT).

    Jobs run in the process itself, so that warm networks stay loaded between jobs. Others find in
    its heartbeat which ``device`` it has, and how many MiB of memory that is.

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
        with _redis_errors(), _heartbeat(redis, name, now, installation):
            worker.work(with_scheduler=False, logging_level="WARNING")
    finally:
        # Also when Redis went: what is at work in a thread must not keep the process alive.
        _stop.set()
        for module in modules:
            getattr(module, FINISH, lambda: None)()


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class _Worker(SimpleWorker):  # type: ignore[misc]  # rq is not typed here
    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        _stop.set()
        super().request_stop(signum, frame)

    def current_job_id(self) -> str:
        return str(self._current or "")

    _current: str = ""

    def execute_job(self, job: Any, queue: Any) -> None:
        self._current = job.id
        try:
            super().execute_job(job, queue)
        finally:
            self._current = ""


def _now(info: WorkerInfo, worker: _Worker) -> str:
    return replace(info, job_id=worker.current_job_id()).to_text()


@contextmanager
def _heartbeat(
    redis: Redis, name: str, now: Callable[[], str], installation: str
) -> Iterator[None]:
    key = _HEARTBEAT_KEY.format(name=name)
    ended = threading.Event()

    def beat() -> None:
        while True:
            try:
                redis.set(key, now(), ex=HEARTBEAT_TTL_S)
                _claim(redis, installation)
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


def _claim(redis: Redis, installation: str) -> None:
    if not installation:
        return
    if redis.set(_INSTALLATION_KEY, installation, ex=_INSTALLATION_TTL_S, nx=True):
        return
    found = redis.get(_INSTALLATION_KEY)
    if found is not None and _text(found) != installation:
        raise StackError(
            "Other processes of nnloop at this Redis use another data folder, so neither side "
            "would find what the other has made.",
            remedy="Let all of them share one folder (NNLOOP_DATA_DIR on one disk or volume), or "
            "give each installation a Redis of its own; after a move of the folder, stop all "
            f"processes and wait {_INSTALLATION_TTL_S} s.",
        )
    redis.expire(_INSTALLATION_KEY, _INSTALLATION_TTL_S)


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise StackError(
            f"Redis does not answer ({type(error).__name__}: {error}).",
            remedy="Start it, or correct NNLOOP_REDIS_URL; `nnloop up` starts one of its own.",
        ) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

"""The queue: RQ behind one small class."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq import Queue
from rq.exceptions import DeserializationError, DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend.queue.connection import (
    DEATHS_KEY,
    HEARTBEAT_KEY,
    HEARTBEAT_TTL_S,
    INSTALLATION_KEY,
    SOCKET_TIMEOUT_S,
    claim,
    is_alive,
    redis_errors,
    text_of,
)
from backend.queue.job_info import JobInfo
from backend.queue.names import JobName, JobState, QueueName
from backend.queue.redis_facts import RedisFacts
from backend.queue.worker_info import WorkerInfo
from domain.errors import StackError
from domain.text import one_line

logger = logging.getLogger(__name__)

# A job that failed is not enqueued again at once: its cause (a server that is down) needs time.
FAILED_PAUSE_S = 5.0
# A job at which so many workers died, without one that ended it, counts as failed: the next try
# waits, twice as long after each further death.
MAX_DEATHS = 2
LONGEST_PAUSE_S = 900.0
DEATHS_TTL_S = 24 * 3600
# Failed jobs stay in Redis this long, for a person; the ledger keeps the error for good.
FAILURE_TTL_S = 7 * 24 * 3600


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
        with redis_errors():
            claim(self._redis, self._installation)

    def is_of_others(self) -> bool:
        """Whether processes on another data folder are at work at this Redis."""
        with redis_errors():
            found = text_of(self._redis.get(INSTALLATION_KEY) or "")
        return bool(found and self._installation and found != self._installation)

    def ensure(self, name: JobName, *ids: int) -> bool:
        """Makes sure that the job is queued or running; returns whether it was enqueued now.

        A job whose worker is dead, or that ended, is enqueued anew; one that failed, after a
        pause. Raises StackError when Redis does not answer.
        """
        job_id = "-".join([name.rsplit(".", 1)[-1], *map(str, ids)])
        with redis_errors():
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
                    if self._is_pending(job_id) or self._is_deadly(job_id):
                        return False
                    self._forget(job_id)
        return False

    def counts(self) -> dict[str, int]:
        """Jobs that wait, per queue."""
        with redis_errors():
            return {str(name): self._queue(name).count for name in QueueName}

    def server(self) -> RedisFacts:
        """What Redis says of itself; StackError when it does not answer."""
        with redis_errors():
            said = self._redis.info()
            seconds, micros = self._redis.time()
            return RedisFacts.of(said, seconds + micros / 1e6 - time.time())

    def has_waiting(self, name: QueueName) -> bool:
        """Whether a job waits in a queue."""
        with redis_errors():
            return bool(self._queue(name).count)

    def workers(self) -> list[WorkerInfo]:
        """Live workers."""
        with redis_errors():
            found = []
            for key in self._redis.scan_iter(HEARTBEAT_KEY.format(name="*")):
                name = text_of(key).rsplit(":", 1)[-1]
                value = self._redis.get(key) if is_alive(self._redis, name) else None
                if value is not None:
                    found.append(WorkerInfo.from_text(name, text_of(value)))
            return sorted(found, key=lambda worker: worker.name)

    def jobs(self) -> list[JobInfo]:
        """All jobs that wait, run or have failed in the last week; by queue, the oldest first."""
        with redis_errors():
            found = []
            for name in QueueName:
                queue = self._queue(name)
                ids = [
                    *queue.started_job_registry.get_job_ids(cleanup=False),
                    *queue.job_ids,
                    *queue.failed_job_registry.get_job_ids(cleanup=False),
                ]
                # One that is handed over may stand in two lists at this moment.
                jobs = [self._fetch(job_id) for job_id in dict.fromkeys(ids)]
                found += [self._info(job) for job in jobs if job is not None]
            return found

    def retry(self, job_id: str) -> bool:
        """Gives a failed or lost job again at once; False when it is neither."""
        with redis_errors():
            job = self._fetch(job_id)
            info = None if job is None else self._info(job)
        if info is None or info.name is None:
            return False
        if info.state not in (JobState.FAILED, JobState.LOST):
            return False
        with redis_errors():
            self._forget(job_id)
            self._redis.delete(DEATHS_KEY.format(job=job_id))
        return self.ensure(info.name, *info.ids)

    def _info(self, job: Job) -> JobInfo:
        status = job.get_status(refresh=False)
        worker = str(job.worker_name or "")
        state, moment, cause = JobState.WAITING, job.enqueued_at, ""
        if status == JobStatus.STARTED:
            state = JobState.RUNNING if is_alive(self._redis, worker) else JobState.LOST
            moment = job.started_at
        elif status == JobStatus.FAILED:
            state, moment = JobState.FAILED, job.ended_at
            result = job.latest_result()
            lines = str(result.exc_string or "").strip().splitlines() if result else []
            cause = one_line(lines[-1]) if lines else ""
        try:
            func_name, args = job.func_name, job.args
        except DeserializationError:  # written by a release that has another form
            func_name, args = "", ()
        name = next((known for known in JobName if known == func_name), None)
        ids = tuple(value for value in args or () if isinstance(value, int))
        since = None if moment is None else moment.replace(tzinfo=UTC).timestamp()
        return JobInfo(job.id, name, ids, state, since, worker, cause)

    def _queue(self, name: QueueName) -> Queue:
        return Queue(str(name), connection=self._redis, serializer=JSONSerializer)

    def _is_pending(self, job_id: str) -> bool:
        job = self._fetch(job_id)
        if job is None:
            return False
        status = job.get_status(refresh=False)
        if status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED):
            # A job that says 'queued' but stands in no list was being handed over when a worker
            # died: give it the time of a handover, then count it as lost.
            enqueued = job.enqueued_at.timestamp() if job.enqueued_at else 0.0
            in_list = any(job_id in self._queue(q).job_ids for q in QueueName if q == job.origin)
            return in_list or _is_recent(enqueued, HEARTBEAT_TTL_S)
        if status == JobStatus.STARTED:
            return is_alive(self._redis, str(job.worker_name))
        if status == JobStatus.FAILED and job.ended_at is not None:
            return _is_recent(job.ended_at.timestamp(), self._pause_s(job_id))
        return False

    def _is_deadly(self, job_id: str) -> bool:
        """Counts the worker that died at a job; whether it is left alone for now, as failed."""
        job = self._fetch(job_id)
        if job is None or job.get_status(refresh=False) != JobStatus.STARTED:
            return False
        key = DEATHS_KEY.format(job=job_id)
        # By name: several processes see at the same moment that it has died.
        self._redis.sadd(key, str(job.worker_name))
        self._redis.expire(key, DEATHS_TTL_S)
        n_deaths = int(self._redis.scard(key))
        if n_deaths < MAX_DEATHS:
            return False
        why = (
            f"{n_deaths} workers died at it, one after the other: their log and the system's may "
            "say why; often memory runs out."
        )
        with self._redis.pipeline() as pipeline:
            job.started_job_registry.remove_executions(job, pipeline=pipeline)
            job.set_status(JobStatus.FAILED, pipeline=pipeline)
            job.ended_at = datetime.now(UTC)
            job.save(pipeline=pipeline)
            job._handle_failure(why, pipeline, worker_name=str(job.worker_name or ""))
            pipeline.execute()
        return True

    def _pause_s(self, job_id: str) -> float:
        """Seconds until a failed job is given again."""
        n_deaths = int(self._redis.scard(DEATHS_KEY.format(job=job_id)))
        return min(FAILED_PAUSE_S * 2.0 ** min(n_deaths, 20), LONGEST_PAUSE_S)

    def _fetch(self, job_id: str) -> Job | None:
        """A job; None where Redis has none of this name, or what it has can't be read as one.

        Redis may have lost a part of it, and another release of RQ may have written it. One such
        job must not keep all others from being given.
        """
        try:
            return Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return None
        except RedisError as error:
            if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
                return None
            raise
        except Exception as error:  # noqa: BLE001 - RQ checks nothing of what it reads
            logger.debug("The job %s can't be read: %s", job_id, error)
            return None

    def _forget(self, job_id: str) -> None:
        job = self._fetch(job_id)
        if job is not None:
            try:
                job.delete()
                return
            except RedisError:
                raise
            except Exception as error:  # noqa: BLE001 - another process deletes it at this moment
                logger.debug("RQ could not delete the job %s: %s", job_id, error)
        # What a worker wrote of a job that Redis had lost meanwhile would keep its name taken.
        self._redis.delete(Job.key_for(job_id))
        for name in QueueName:
            self._queue(name).remove(job_id)


def _is_recent(moment: float, span_s: float) -> bool:
    # A moment that is still to come is of a clock that was set back, or is another machine's.
    return 0.0 <= time.time() - moment < span_s

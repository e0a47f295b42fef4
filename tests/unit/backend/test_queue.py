"""The queue against a real Redis; workers run jobs that a throw-away module holds."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend.queue import (
    ROLES,
    JobName,
    JobQueue,
    JobState,
    QueueName,
    work,
)
from backend.queue.connection import HEARTBEAT_TTL_S
from backend.queue.job_queue import FAILED_PAUSE_S
from backend.queue.worker_info import WorkerInfo
from backend.stack.process import ManagedProcess
from backend.stack.redis_server import RedisServer
from domain.errors import StackError

ROOT = Path(__file__).resolve().parents[3]

# A worker whose jobs are those of this module instead of nnloop's own, which load torch.
WORKER = """
import importlib, sys, types
jobs = types.ModuleType("backend.jobs.loop")
exec({code!r}, jobs.__dict__)
for name in ("loop", "score", "step", "train"):
    sys.modules["backend.jobs." + name] = jobs
from backend.queue import ROLES, Stay, work
work({url!r}, (*ROLES["predict"], *ROLES["loop"]), label="w", stay=Stay({stay}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer.open(tmp_path_factory.mktemp("redis"))
    process = ManagedProcess(server.spec())
    process.start()
    yield server
    process.stop()


@pytest.fixture
def connection(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def queue(server: RedisServer, connection: redis.Redis) -> JobQueue:
    return JobQueue(server.url)


@pytest.fixture
def start_worker(server: RedisServer) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, stay: str = "") -> subprocess.Popen[bytes]:
        script = WORKER.format(code=code, url=server.url, stay=stay)
        started.append(subprocess.Popen([sys.executable, "-c", script], cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _eventually(check: Callable[[], object], timeout_s: float = 45.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return False


def _job(connection: redis.Redis, job_id: str) -> Job:
    return Job.fetch(job_id, connection=connection, serializer=JSONSerializer)


def test_every_queue_has_a_worker() -> None:
    assert {queue for queues in ROLES.values() for queue in queues} == set(QueueName)
    assert {job.queue for job in JobName} <= set(QueueName)
    # An annotator who waits goes before everything else.
    assert ROLES["predict"][0] == JobName.PREDICT.queue
    # Reading and pushing wait for no network and no image, and no annotator waits for them.
    assert {JobName.SYNC.queue, JobName.PUBLISH.queue} == set(ROLES["loop"])
    assert not set(ROLES["loop"]) & {*ROLES["predict"], *ROLES["train"]}


def test_a_job_is_queued_once(queue: JobQueue, connection: redis.Redis) -> None:
    assert queue.ensure(JobName.TRAIN_FOLD, 7, 0)
    assert not queue.ensure(JobName.TRAIN_FOLD, 7, 0)
    assert queue.ensure(JobName.TRAIN_FOLD, 7, 1)
    assert queue.counts() == {**dict.fromkeys(map(str, QueueName), 0), "nnloop-train": 2}
    job = _job(connection, "train_fold-7-0")
    assert (job.func_name, tuple(job.args)) == ("backend.jobs.train.train_fold", (7, 0))


def test_a_job_is_json(queue: JobQueue, connection: redis.Redis) -> None:
    queue.ensure(JobName.SYNC, 3)
    data = connection.hget("rq:job:sync-3", "data")
    assert isinstance(data, bytes)
    assert zlib.decompress(data) == b'["backend.jobs.loop.sync", null, [3], {}]'


def test_a_job_that_was_lost_on_its_way_is_queued_again(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.ensure(JobName.SYNC, 3)
    connection.delete("rq:queue:nnloop-loop")
    assert not queue.ensure(JobName.SYNC, 3)  # perhaps it is being handed over right now
    job = _job(connection, "sync-3")
    job.enqueued_at = datetime.now(UTC) - timedelta(seconds=HEARTBEAT_TTL_S + 1)
    job.save()
    assert queue.ensure(JobName.SYNC, 3)
    assert queue.counts()["nnloop-loop"] == 1


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_started_job_counts_while_its_worker_lives(
    queue: JobQueue, connection: redis.Redis, is_alive: bool
) -> None:
    queue.ensure(JobName.ADVANCE, 1)
    connection.delete("rq:queue:nnloop-step")
    job = _job(connection, "advance-1")
    job.worker_name = "w-1"
    job.set_status(JobStatus.STARTED)
    job.save()
    if is_alive:
        connection.set("nnloop:worker:w-1", "nnloop-step|advance-1", ex=60)
    assert queue.ensure(JobName.ADVANCE, 1) is not is_alive


def test_a_dead_worker_does_not_live_on_because_the_clock_of_redis_was_set_back(
    server: RedisServer, queue: JobQueue, connection: redis.Redis
) -> None:
    # What its heartbeat's time looks like once the clock was set back by an hour.
    connection.set("nnloop:worker:w-1", "nnloop-step|advance-1", ex=3600 + HEARTBEAT_TTL_S)
    assert [worker.name for worker in queue.workers()] == ["w-1"]  # it may live
    assert 0 < connection.ttl("nnloop:worker:w-1") <= HEARTBEAT_TTL_S
    connection.set("nnloop:installation", "another", ex=3600)
    with pytest.raises(StackError, match="another data folder"):
        JobQueue(server.url, "ours").claim()
    assert 0 < connection.ttl("nnloop:installation") <= 30


def test_nobody_lives_for_ever_at_a_redis_that_was_copied_without_expiry(
    server: RedisServer, queue: JobQueue, connection: redis.Redis
) -> None:
    connection.set("nnloop:worker:w1", "a||")
    connection.set("nnloop:installation", "another")
    assert [worker.name for worker in queue.workers()] == ["w1"]
    with pytest.raises(StackError, match="use another data folder"):
        JobQueue(server.url, "ours").claim()
    for key in ("nnloop:worker:w1", "nnloop:installation"):
        assert 0 < connection.ttl(key) <= 2 * HEARTBEAT_TTL_S


@pytest.mark.parametrize("moved_s", [-3600, 3600])
def test_a_failed_job_waits_no_hour_for_a_clock_that_was_set(
    queue: JobQueue, connection: redis.Redis, moved_s: int
) -> None:
    queue.ensure(JobName.PUBLISH, 1)
    connection.delete("rq:queue:nnloop-loop")
    job = _job(connection, "publish-1")
    job.set_status(JobStatus.FAILED)
    job.ended_at = datetime.now(UTC) + timedelta(seconds=moved_s)
    job.save()
    assert queue.ensure(JobName.PUBLISH, 1)


def test_a_job_lost_on_its_way_waits_no_hour_for_a_clock_that_was_set_back(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.ensure(JobName.SYNC, 3)
    connection.delete("rq:queue:nnloop-loop")
    job = _job(connection, "sync-3")
    job.enqueued_at = datetime.now(UTC) + timedelta(hours=1)
    job.save()
    assert queue.ensure(JobName.SYNC, 3)


_dead = count(1)


def _die_at(queue: JobQueue, connection: redis.Redis, job_id: str) -> None:
    """What is left when the worker that has a job is killed, and its heartbeat is over."""
    connection.delete("rq:queue:nnloop-loop")
    job = _job(connection, job_id)
    job.worker_name = f"w-{next(_dead)}"
    job.set_status(JobStatus.STARTED)
    job.save()


def test_a_job_that_kills_its_workers_is_tried_ever_less_often(
    server: RedisServer, queue: JobQueue, connection: redis.Redis
) -> None:
    assert queue.ensure(JobName.SYNC, 1)
    _die_at(queue, connection, "sync-1")
    assert not queue._is_deadly("sync-1") and not JobQueue(server.url)._is_deadly("sync-1")
    assert queue.ensure(JobName.SYNC, 1)  # once may be anything: a machine was switched off
    for n_deaths in (2, 3, 4):
        _die_at(queue, connection, "sync-1")
        assert not queue.ensure(JobName.SYNC, 1)
        (info,) = queue.jobs()
        assert (info.state, info.name) == (JobState.FAILED, JobName.SYNC)
        assert info.cause.startswith(f"{n_deaths} workers died at it, one after the other: ")
        job = _job(connection, "sync-1")
        pause_s = FAILED_PAUSE_S * 2**n_deaths
        job.ended_at = datetime.now(UTC) - timedelta(seconds=pause_s - 3)
        job.save()
        assert not queue.ensure(JobName.SYNC, 1)
        job.ended_at = datetime.now(UTC) - timedelta(seconds=pause_s + 1)
        job.save()
        assert queue.ensure(JobName.SYNC, 1)
    assert [info.state for info in queue.jobs()] == [JobState.WAITING]
    # Others of its kind are not held up, and a person may want it now.
    assert queue.ensure(JobName.SYNC, 2)
    _die_at(queue, connection, "sync-1")
    assert not queue.ensure(JobName.SYNC, 1)
    assert queue.retry("sync-1")
    _die_at(queue, connection, "sync-1")
    assert queue.ensure(JobName.SYNC, 1)  # from the start


def test_a_job_that_came_to_an_end_starts_without_a_history_of_deaths(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    queue.ensure(JobName.SYNC, 1)
    _die_at(queue, connection, "sync-1")
    assert queue.ensure(JobName.SYNC, 1)
    assert connection.exists("nnloop:deaths:sync-1")
    start_worker("def sync(project_id):\n    pass")
    assert _eventually(lambda: not connection.exists("nnloop:deaths:sync-1"))


def test_a_failed_job_is_queued_again_after_a_pause(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.ensure(JobName.PUBLISH, 1)
    connection.delete("rq:queue:nnloop-loop")
    job = _job(connection, "publish-1")
    job.set_status(JobStatus.FAILED)
    job.ended_at = datetime.now(UTC)
    job.save()
    # A server that is down must not be asked every second.
    assert not queue.ensure(JobName.PUBLISH, 1)
    job.ended_at -= timedelta(seconds=FAILED_PAUSE_S + 1)
    job.save()
    assert queue.ensure(JobName.PUBLISH, 1)
    assert _job(connection, "publish-1").get_status() == JobStatus.QUEUED


def test_a_finished_job_is_queued_again(queue: JobQueue, connection: redis.Redis) -> None:
    queue.ensure(JobName.SYNC, 1)
    job = _job(connection, "sync-1")
    job.set_status(JobStatus.FINISHED)
    assert queue.ensure(JobName.SYNC, 1)


def test_workers_are_listed(queue: JobQueue, connection: redis.Redis) -> None:
    connection.set("nnloop:worker:b", "nnloop-train|train_fold-1-0", ex=60)
    connection.set("nnloop:worker:a", "nnloop-loop,nnloop-score|", ex=60)
    first, second = queue.workers()
    assert (first.name, first.queues, first.job_id) == ("a", ("nnloop-loop", "nnloop-score"), "")
    assert (second.name, second.job_id) == ("b", "train_fold-1-0")


def test_without_redis_every_call_says_so() -> None:
    absent = JobQueue("")
    with pytest.raises(StackError, match="NNLOOP_REDIS_URL is not set"):
        absent.ensure(JobName.SYNC, 1)
    down = JobQueue("redis://:hidden@127.0.0.1:1/0")
    assert not down.ping()
    assert "hidden" not in repr(down)
    with pytest.raises(StackError, match="Redis does not answer") as caught:
        down.counts()
    assert "hidden" not in str(caught.value)


FAILING = "def sync(project_id):\n    raise OSError('no')"


def test_a_job_that_raises_is_kept_and_the_worker_goes_on(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    code = FAILING + "\ndef advance(run_id):\n    pass"
    queue.ensure(JobName.SYNC, 1)
    queue.ensure(JobName.ADVANCE, 1)
    process = start_worker(code)
    assert _eventually(lambda: queue.counts()["nnloop-loop"] == 0)
    assert _eventually(lambda: not Job.exists("advance-1", connection=connection))
    # The step stands before it in this worker's queues: it may be at work still.
    assert _eventually(lambda: _job(connection, "sync-1").get_status() == JobStatus.FAILED)
    job = _job(connection, "sync-1")
    # What the pause of `ensure` is counted from.
    assert abs(time.time() - job.ended_at.timestamp()) < 60
    assert not queue.ensure(JobName.SYNC, 1)
    # Asked to end while idle: it ends, and takes its heartbeat with it.
    assert len(queue.workers()) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert queue.workers() == []


def test_what_fails_for_a_known_reason_is_logged_in_a_sentence(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A Label Studio that is away for days does not fill the log with tracebacks."""
    code = (
        "from domain.errors import LabelStudioError\n"
        "def sync(project_id):\n    raise LabelStudioError('It is away.', remedy='Start it.')\n"
        "def advance(run_id):\n    raise OSError('no')"
    )
    queue.ensure(JobName.SYNC, 1)
    queue.ensure(JobName.ADVANCE, 1)
    process = start_worker(code)
    for name in ("sync-1", "advance-1"):
        assert _eventually(lambda: _job(connection, name).get_status() == JobStatus.FAILED)  # noqa: B023
    causes = {job.id: job.cause for job in queue.jobs()}
    assert "It is away." in causes["sync-1"] and causes["advance-1"] == "OSError: no"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    said = capfd.readouterr().err
    assert "sync-1 failed: It is away. Start it." in said
    assert said.count("Traceback") == 1


LONG = """
import time
from pathlib import Path
from backend.queue import stop_requested
def sync(project_id):
    Path({path!r}).write_text("running")
    while not stop_requested():
        time.sleep(0.02)
    Path({path!r}).write_text("stopped")
"""


UNTIL = """
import time
from pathlib import Path
def sync(project_id):
    Path({path!r}).touch()
    while not Path({end!r}).exists():
        time.sleep(0.02)
"""


def _at_work(
    queue: JobQueue,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
    code: str,
    path: Path,
) -> subprocess.Popen[bytes]:
    """A worker in the middle of a job, which has made a file."""
    queue.ensure(JobName.SYNC, 1)
    process = start_worker(code)
    assert _eventually(path.exists)
    return process


def test_a_worker_asked_to_end_tells_its_job(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "state"
    process = _at_work(queue, start_worker, LONG.format(path=str(path)), path)
    (worker,) = queue.workers()
    assert worker.queues == (*map(str, ROLES["predict"]), *map(str, ROLES["loop"]))
    # A worker that cleans up tomorrow does not call it abandoned: a training takes days.
    loop = Queue("nnloop-loop", connection=connection, serializer=JSONSerializer)
    loop.started_job_registry.cleanup(time.time() + 86_400)
    assert [job.state for job in queue.jobs()] == [JobState.RUNNING]
    assert not queue.ensure(JobName.SYNC, 1)  # it runs
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert path.read_text() == "stopped"
    assert queue.workers() == []


def test_a_killed_workers_job_is_queued_again(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "state"
    process = _at_work(queue, start_worker, LONG.format(path=str(path)), path)
    process.kill()
    process.wait()
    assert not queue.ensure(JobName.SYNC, 1)  # for a few seconds nobody can tell
    (key,) = connection.keys("nnloop:worker:*")
    assert 0 < connection.ttl(key) <= HEARTBEAT_TTL_S
    connection.delete(key)  # as if that time had passed
    assert queue.ensure(JobName.SYNC, 1)


@pytest.mark.parametrize("all_is_lost", [False, True])
def test_a_job_that_redis_lost_while_it_ran_has_not_failed(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
    tmp_path: Path,
    all_is_lost: bool,
) -> None:
    path, end = tmp_path / "state", tmp_path / "end"
    _at_work(queue, start_worker, UNTIL.format(path=str(path), end=str(end)), path)
    if all_is_lost:
        connection.flushall()
    else:
        connection.delete(Job.key_for("sync-1"))
    for project_id in (2, 1):  # the worker takes the next one, and the same one again
        path.unlink()
        assert queue.ensure(JobName.SYNC, project_id)
        end.touch()
        assert _eventually(path.exists)
        assert _eventually(lambda: queue.jobs() == [], 10)
    assert not connection.keys("rq:job:*") and not connection.keys("rq:execution*")


def test_remains_of_a_job_keep_no_other_from_its_name(
    queue: JobQueue, connection: redis.Redis
) -> None:
    connection.hset(Job.key_for("sync-1"), "last_heartbeat", "2026-01-01T00:00:00Z")
    connection.hset(Job.key_for("sync-2"), "status", "failed")
    assert queue.jobs() == []
    assert queue.ensure(JobName.SYNC, 1) and queue.ensure(JobName.SYNC, 2)
    assert [job.state for job in queue.jobs()] == [JobState.WAITING] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "paused"),  # of a release of RQ that is still to come
        ("status", ""),
        ("enqueued_at", "2026-11-28"),
        ("data", ""),
        ("origin", ""),
        ("origin", "nnloop-of-before"),
        ("timeout", "for ever"),
        ("worker_name", b"\xff"),
    ],
)
@pytest.mark.parametrize("is_waiting", [True, False])
def test_a_job_that_cannot_be_read_keeps_no_other_from_being_given(
    queue: JobQueue, connection: redis.Redis, field: str, value: str | bytes, is_waiting: bool
) -> None:
    queue.ensure(JobName.SYNC, 1)
    job = _job(connection, "sync-1")
    if not is_waiting:
        connection.lrem(f"rq:queue:{QueueName.LOOP}", 0, "sync-1")
        connection.hset(job.key, "enqueued_at", "2026-11-01T00:00:00.000000Z")
    connection.hset(job.key, field, value)
    queue.jobs()
    queue.ensure(JobName.SYNC, 1)  # a waiting one of which only this is lost may go on waiting
    assert queue.counts()[QueueName.LOOP] == 1
    assert queue.ensure(JobName.SYNC, 2)
    assert "sync-2" in [job.id for job in queue.jobs()]


def test_what_is_no_job_at_all_keeps_no_job_from_its_name(
    queue: JobQueue, connection: redis.Redis
) -> None:
    connection.set(Job.key_for("sync-1"), "text")
    assert queue.ensure(JobName.SYNC, 1)
    assert [job.id for job in queue.jobs()] == ["sync-1"]


def test_two_that_forget_a_lost_job_at_once_give_it_once(
    queue: JobQueue, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.ensure(JobName.SYNC, 1)
    connection.lrem(f"rq:queue:{QueueName.LOOP}", 0, "sync-1")
    connection.hset(Job.key_for("sync-1"), "enqueued_at", "2026-11-01T00:00:00.000000Z")
    delete = Job.delete

    def after_the_other(job: Job) -> None:
        monkeypatch.setattr(Job, "delete", delete)
        assert queue.ensure(JobName.SYNC, 1)  # the other
        delete(Job.fetch("sync-1", connection=connection, serializer=JSONSerializer))
        delete(job)

    monkeypatch.setattr(Job, "delete", after_the_other)
    assert queue.ensure(JobName.SYNC, 1)
    assert queue.counts()[QueueName.LOOP] == 1


def test_a_job_that_runs_for_weeks_is_not_called_failed(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "state"
    code = UNTIL.format(path=str(path), end=str(tmp_path / "never"))
    _at_work(queue, start_worker, code, path)
    registry = Queue(QueueName.LOOP, connection=connection).started_job_registry
    registry.cleanup(time.time() + 60 * 24 * 3600)  # as another worker does, two months later
    assert [job.state for job in queue.jobs()] == [JobState.RUNNING]
    assert not queue.ensure(JobName.SYNC, 1)


def test_a_redis_that_takes_nothing_more_says_so(queue: JobQueue, connection: redis.Redis) -> None:
    connection.config_set("maxmemory", 1)
    try:
        with pytest.raises(StackError, match="refuses what nnloop asks") as raised:
            queue.ensure(JobName.SYNC, 1)
    finally:
        connection.config_set("maxmemory", 0)
    assert "maxmemory" in raised.value.remedy
    assert queue.ensure(JobName.SYNC, 1)


POOL = """
import multiprocessing, time
from pathlib import Path
def sync(project_id):
    pool = multiprocessing.get_context("fork").Pool(2)
    for _ in range(2):
        pool.apply_async(time.sleep, (60,))  # idle ones end by themselves
    time.sleep(0.3)
    pool.terminate()
    pool.join()
    Path({path!r}).write_text("ended")
"""


def test_a_pool_inside_a_job_can_be_terminated(
    queue: JobQueue, start_worker: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    # Children that inherit the worker's signal handlers survive SIGTERM, and terminate() hangs.
    path = tmp_path / "state"
    queue.ensure(JobName.SYNC, 1)
    start_worker(POOL.format(path=str(path)))
    assert _eventually(path.exists, 20)


def test_processes_of_two_data_folders_do_not_work_at_one_redis(
    server: RedisServer, connection: redis.Redis
) -> None:
    ours, theirs = JobQueue(server.url, "a"), JobQueue(server.url, "b")
    ours.claim()
    ours.claim()
    assert (ours.is_of_others(), theirs.is_of_others()) == (False, True)
    with pytest.raises(StackError, match="another data folder") as caught:
        theirs.claim()
    assert "NNLOOP_DATA_DIR" in caught.value.remedy
    with pytest.raises(StackError, match="another data folder"):
        work(server.url, ROLES["loop"], installation="b")
    assert 0 < connection.ttl("nnloop:installation") <= 2 * HEARTBEAT_TTL_S
    connection.delete("nnloop:installation")  # as time does, once the last process has ended
    theirs.claim()
    assert ours.is_of_others()


def test_processes_of_two_databases_do_not_work_at_one_redis(
    server: RedisServer, connection: redis.Redis
) -> None:
    # A worker on another machine, with the common folder and without NNLOOP_DATABASE_URL.
    ours, theirs = JobQueue(server.url, "a|postgresql"), JobQueue(server.url, "a|sqlite")
    ours.claim()
    assert (ours.is_of_others(), theirs.is_of_others()) == (False, True)
    with pytest.raises(StackError, match="another database") as found:
        theirs.claim()
    assert "(postgresql; this one: sqlite)" in str(found.value)
    assert "NNLOOP_DATABASE_URL" in found.value.remedy
    with pytest.raises(StackError, match="another database"):
        work(server.url, ROLES["loop"], installation="a|sqlite")
    JobQueue(server.url, "a").claim()  # of a release that did not say it
    with pytest.raises(StackError, match="another data folder"):
        JobQueue(server.url, "b|postgresql").claim()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b|job|cuda:0|24576", WorkerInfo("w", ("a", "b"), "job", "cuda:0", 24576)),
        ("a||cpu|0", WorkerInfo("w", ("a",), "", "cpu", 0)),
        ("a|job", WorkerInfo("w", ("a",), "job")),
        ("a", WorkerInfo("w", ("a",), "")),
        ("a|j|cuda:1|?|more", WorkerInfo("w", ("a",), "j", "cuda:1", 0)),
    ],
)
def test_what_a_heartbeat_says_is_read_back(text: str, expected: WorkerInfo) -> None:
    found = WorkerInfo.from_text("w", text)
    assert found == expected
    assert WorkerInfo.from_text("w", found.to_text()) == found


def test_jobs_are_listed_with_their_state_and_cause(
    queue: JobQueue,
    connection: redis.Redis,
    start_worker: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    assert queue.jobs() == []
    queue.ensure(JobName.SYNC, 1)
    queue.ensure(JobName.SYNC, 2)
    queue.ensure(JobName.TRAIN_FOLD, 7, 0)  # no worker of the test takes it
    worker = start_worker(
        "def sync(project):\n"
        "    import time\n"
        "    if project == 1: raise ValueError('the disk is\\nfull')\n"
        "    time.sleep(60)\n"
    )
    states = {("sync-1", JobState.FAILED), ("sync-2", JobState.RUNNING)}
    assert _eventually(lambda: states <= {(job.id, job.state) for job in queue.jobs()})
    found = {job.id: job for job in queue.jobs()}
    assert found["sync-1"].cause == "full" or "ValueError" in found["sync-1"].cause
    assert found["sync-2"].worker.startswith("w-")
    waiting = found["train_fold-7-0"]
    assert (waiting.state, waiting.name, waiting.ids) == (
        JobState.WAITING,
        JobName.TRAIN_FOLD,
        (7, 0),
    )
    assert all(abs(time.time() - (job.since or 0)) < 60 for job in found.values())
    # What runs or waits is not given again; what failed is, and what nobody knows is no job.
    assert not queue.retry("sync-2") and not queue.retry("train_fold-7-0")
    assert not queue.retry("sync-99")
    worker.kill()
    worker.wait()
    connection.delete(*connection.keys("nnloop:worker:*"))  # as after its time
    assert {job.state for job in queue.jobs() if job.id == "sync-2"} == {JobState.LOST}
    assert queue.retry("sync-1") and queue.retry("sync-2")
    assert {job.state for job in queue.jobs()} == {JobState.WAITING}


def test_a_job_of_another_release_is_listed_and_left_alone(
    queue: JobQueue, connection: redis.Redis
) -> None:
    other = Queue(str(QueueName.LOOP), connection=connection, serializer=JSONSerializer)
    other.enqueue("backend.jobs.loop.gone", args=(1,), job_id="gone-1")
    (job,) = queue.jobs()
    assert (job.id, job.name, job.state) == ("gone-1", None, JobState.WAITING)
    assert not queue.retry("gone-1")


# Ends within a moment of being asked to, as a training does.
UNTIL_ASKED = """
def sync(project):
    import time
    from backend.queue import stop_requested
    while not stop_requested():
        time.sleep(0.02)
"""


@pytest.mark.parametrize("stay", ["until_empty=True", "until_empty=True, idle_s=1.0"])
def test_a_worker_of_a_batch_system_ends_when_nothing_is_left(
    queue: JobQueue, start_worker: Callable[..., subprocess.Popen[bytes]], stay: str
) -> None:
    queue.ensure(JobName.SYNC, 1)
    queue.ensure(JobName.SYNC, 2)
    worker = start_worker("def sync(project): pass", stay)
    assert worker.wait(30) == 0
    assert queue.jobs() == [] and queue.workers() == []


@pytest.mark.parametrize("ends_by", ["longest_s=1.0", "USR1"])
def test_a_worker_whose_time_is_up_gives_back_what_it_does(
    queue: JobQueue, start_worker: Callable[..., subprocess.Popen[bytes]], ends_by: str
) -> None:
    queue.ensure(JobName.SYNC, 1)
    worker = start_worker(UNTIL_ASKED, "" if ends_by == "USR1" else ends_by)
    if ends_by == "USR1":
        assert _eventually(lambda: [j.state for j in queue.jobs()] == [JobState.RUNNING])
        worker.send_signal(signal.SIGUSR1)
    assert worker.wait(30) == 0
    assert queue.workers() == []


SET_BACK = """
import datetime, rq.worker.base as base
real, calls = base.now, []
def now():
    calls.append(1)
    return real() - datetime.timedelta(hours=len(calls))
base.now = now
"""


@pytest.mark.slow
def test_an_idle_worker_ends_although_its_clock_is_set_back(
    start_worker: Callable[..., subprocess.Popen[bytes]],
) -> None:
    assert start_worker(SET_BACK, "idle_s=1.0").wait(60) == 0


def test_an_idle_worker_ends_when_its_time_is_up(
    start_worker: Callable[..., subprocess.Popen[bytes]], queue: JobQueue
) -> None:
    assert start_worker("", "longest_s=0.5").wait(30) == 0

"""The job queue. The only package that imports rq.

Redis only delivers. What has to be done is in the store, so a job that Redis lost, or whose worker
was killed, is enqueued again by ``backend.pipeline.runs.reconcile``.
"""

from backend.queue.job_info import JobInfo
from backend.queue.job_queue import JobQueue
from backend.queue.names import ROLES, JobName, JobState, QueueName
from backend.queue.redis_facts import RedisFacts
from backend.queue.worker import Stay, stop_requested, work
from backend.queue.worker_info import WorkerInfo

__all__ = [
    "ROLES",
    "JobInfo",
    "JobName",
    "JobQueue",
    "JobState",
    "QueueName",
    "RedisFacts",
    "Stay",
    "WorkerInfo",
    "stop_requested",
    "work",
]

"""What Prometheus gets from GET /metrics: read from store, queue and disk when it asks.

docs/monitoring.md lists every metric; a test compares the two.
"""

from __future__ import annotations

import shutil
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.queue import JobInfo, JobState, QueueName, WorkerInfo
from backend.store import clock, projects
from backend.store.models import (
    FoldRow,
    InboxRow,
    PredictionRow,
    ProblemRow,
    ProjectRow,
    RunRow,
    TaskRow,
)
from backend.store.training import runs
from domain.errors import StackError

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREDICT_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 8.0, 20.0)


# When a histogram was made says nothing here, and would be one more name.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one web process."""

    def __init__(self, context: AppContext) -> None:
        """Takes the process's context; reads nothing yet."""
        self._registry = CollectorRegistry()
        self._registry.register(_Snapshot(context))
        self._predict = Histogram(
            "nnloop_predict_seconds",
            "Time from the arrival of a /predict to its answer.",
            buckets=_PREDICT_BUCKETS_S,
            registry=self._registry,
        )

    def predicted(self, seconds: float) -> None:
        """Notes how long an answer to /predict took."""
        self._predict.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Snapshot(Collector):
    """Everything but what is counted as it happens."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would read the store to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Reads store, queue and disk."""
        now = clock.now()
        yield from self._of_queue(now)
        with self._context.store.read() as session:
            yield from _of_projects(session, now)
            yield from _of_runs(session)
        free = shutil.disk_usage(self._context.settings.data_dir).free
        yield _gauge("disk_free_bytes", "Free on the disk of the data folder.", {(): free})

    def _of_queue(self, now: float) -> Iterator[Metric]:
        found: list[JobInfo] = []
        workers: list[WorkerInfo] = []
        is_up = 1
        try:
            found, workers = self._context.queue.jobs(), self._context.queue.workers()
        except StackError:
            is_up = 0
        yield _gauge("redis_up", "Whether Redis answers.", {(): is_up})
        states = Tally(job.state for job in found)
        yield _gauge(
            "jobs",
            "Jobs by state; failed ones of the last week.",
            {(str(state),): states[state] for state in JobState},
            ("state",),
        )
        waiting = [job.since for job in found if job.state == JobState.WAITING and job.since]
        oldest = max((now - since for since in waiting), default=0.0)
        yield _gauge("queue_age_seconds", "How long the oldest job waits.", {(): max(0.0, oldest)})
        served = Tally(name for worker in workers for name in worker.queues)
        yield _gauge(
            "workers",
            "Live workers by the queue they serve.",
            {(str(name),): served[str(name)] for name in QueueName},
            ("queue",),
        )
        devices = Tally(worker.device for worker in workers if worker.device)
        yield _gauge(
            "worker_devices",
            "Live workers by their device, such as cuda:0.",
            {(device,): n for device, n in devices.items()},
            ("device",),
        )
        memory = {w.device: w.memory_mib for w in workers if w.memory_mib}
        yield _gauge(
            "gpu_memory_bytes",
            "Memory of the GPUs that workers have.",
            {(device,): mib * 2**20 for device, mib in memory.items()},
            ("device",),
        )


def _of_projects(session: Session, now: float) -> Iterator[Metric]:
    rows = session.execute(select(ProjectRow.id, ProjectRow.synced_at, ProjectRow.error)).all()
    yield _gauge(
        "sync_age_seconds",
        "Since the project was read last.",
        {(str(i),): max(0.0, now - at) for i, at, _ in rows if at is not None},
        ("project",),
    )
    yield _gauge(
        "project_up",
        "Whether Label Studio could be read at the last try.",
        {(str(i),): int(not error) for i, _, error in rows},
        ("project",),
    )
    tasks = session.execute(
        select(TaskRow.project_id, TaskRow.state, func.count())
        .where(TaskRow.removed_at.is_(None))
        .group_by(TaskRow.project_id, TaskRow.state)
    )
    yield _gauge(
        "tasks",
        "Tasks by what people have said about them.",
        {(str(project), str(state)): n for project, state, n in tasks},
        ("project", "state"),
    )
    pushed = session.execute(
        select(PredictionRow.project_id, func.count())
        .where(PredictionRow.published_at > 0)
        .group_by(PredictionRow.project_id)
    )
    yield _gauge(
        "predictions_pushed",
        "Predictions that Label Studio holds.",
        {(str(project),): n for project, n in pushed},
        ("project",),
    )
    open_problems = session.execute(
        select(ProblemRow.project_id, ProblemRow.stage, func.count())
        .where(ProblemRow.resolved_at.is_(None))
        .group_by(ProblemRow.project_id, ProblemRow.stage)
    )
    yield _gauge(
        "problems",
        "Open problems; `nnloop status` says which.",
        {(str(project), stage): n for project, stage, n in open_problems},
        ("project", "stage"),
    )
    oldest = session.scalar(
        select(func.min(InboxRow.received_at))
        .join(ProjectRow, ProjectRow.id == InboxRow.project_id)
        .where(InboxRow.handled_at.is_(None))
    )
    age = 0.0 if oldest is None else max(0.0, now - oldest)
    yield _gauge("hint_age_seconds", "How long the oldest webhook waits to be followed.", {(): age})
    yield _gauge(
        "projects_halted",
        "Connected projects that Label Studio has no more.",
        {(): len(projects.halted(session))},
    )


def _of_runs(session: Session) -> Iterator[Metric]:
    active = runs.active_runs(session)
    yield _gauge(
        "runs_active",
        "Trainings under way, by stage.",
        Tally((str(run.project_id), str(run.status)) for run in active),
        ("project", "status"),
    )
    numbers = {run.id: (str(run.project_id), str(run.number)) for run in active}
    rows = session.scalars(select(FoldRow).where(FoldRow.run_id.in_(numbers))).all()
    labels = {row.id: (*numbers[row.run_id], str(row.fold)) for row in rows}
    yield _gauge(
        "fold_epoch",
        "Epochs that a fold under way has done.",
        {labels[row.id]: row.epoch for row in rows},
        ("project", "run", "fold"),
    )
    yield _gauge(
        "fold_epochs",
        "Epochs that it is to do.",
        {labels[row.id]: row.epochs for row in rows},
        ("project", "run", "fold"),
    )
    ended = session.execute(
        select(RunRow.project_id, RunRow.status, func.count())
        .where(RunRow.finished_at.is_not(None))
        .group_by(RunRow.project_id, RunRow.status)
    )
    yield _gauge(
        "runs_ended",
        "Trainings that are over, by how they ended.",
        {(str(project), str(status)): n for project, status, n in ended},
        ("project", "status"),
    )


def _gauge(
    name: str,
    what: str,
    values: Mapping[Any, float],
    labels: tuple[str, ...] = (),
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"nnloop_{name}", what, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family

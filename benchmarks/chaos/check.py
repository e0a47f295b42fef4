"""What nnloop holds, beside what Label Studio does: what is lost, doubled, stuck or stale."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from sqlalchemy import func, select

from backend.pipeline.basis.context import AppContext
from backend.queue import JobState
from backend.store import projects
from backend.store.models import (
    AnnotationRow,
    FoldRow,
    InboxRow,
    PredictionRow,
    RunRow,
    TaskRow,
    TrialRow,
    VersionRow,
)
from backend.store.tasks import snapshots
from backend.store.tasks.predictions import is_live
from backend.store.training import runs, versions
from domain.states import RUN, RunStatus, TaskState, VersionStatus
from training.folds.spec import PROGRESS


@dataclass
class Found:
    """What was wrong, a line each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    n_annotations: int = 0
    n_entries: int = 0
    n_predictions: int = 0
    epochs_lost: int = 0


def is_busy(context: AppContext) -> str:
    """What is still to be done; "" when nothing is."""
    with context.store.begin() as session:
        is_open = InboxRow.handled_at.is_(None)
        n_hints = session.scalar(select(func.count(InboxRow.id)).where(is_open))
        active = session.scalars(select(RunRow).where(RunRow.status.in_(RUN.active))).all()
        serving = select(VersionRow).where(VersionRow.status == VersionStatus.CHAMPION)
        is_shown = all(row.published_at is not None for row in session.scalars(serving))
    said = [f"{n_hints} hints"] if n_hints else []
    said += [f"run {run.number} {run.status} ({run.error})" for run in active]
    said += [] if is_shown else ["version not published"]
    return ", ".join(said)


def check(context: AppContext, project_id: int) -> Found:
    """Compares everything, once all that happened should be known."""
    found = Found()
    _compare_annotations(context, project_id, found)
    _compare_predictions(context, project_id, found)
    _look_for_leftovers(context, found)
    found.epochs_lost = _epochs_lost(context.workspace(project_id).folder)
    if found.epochs_lost > 1:
        found.doubled.append(f"{found.epochs_lost} epochs of a fold were trained again at once")
    return found


def _compare_annotations(context: AppContext, project_id: int, found: Found) -> None:
    truth = {task.id: task for task in context.label_studio.iter_tasks(project_id)}
    with context.store.begin() as session:
        tasks = {
            row.id: row
            for row in session.scalars(select(TaskRow).where(TaskRow.project_id == project_id))
            if row.removed_at is None
        }
        rows = session.scalars(
            select(AnnotationRow).where(
                AnnotationRow.project_id == project_id, AnnotationRow.removed_at.is_(None)
            )
        ).all()
        policy = projects.get(session, project_id).settings.annotator_policy
        current = snapshots.chosen_hashes(session, project_id, policy)
        run = session.scalar(
            select(RunRow).where(RunRow.manifest.is_not(None)).order_by(RunRow.id.desc()).limit(1)
        )
    known = {row.id: row for row in rows if row.task_id in tasks}
    there = {one.id: one for task in truth.values() for one in task.annotations}
    found.n_annotations = len(there)
    found.lost += [f"task {i} is not known" for i in truth.keys() - tasks.keys()]
    found.stale += [f"task {i} is no more" for i in tasks.keys() - truth.keys()]
    found.lost += [f"annotation {i} is not known" for i in there.keys() - known.keys()]
    found.stale += [f"annotation {i} is no more" for i in known.keys() - there.keys()]
    found.lost += [
        f"annotation {i} is known as it was"
        for i in there.keys() & known.keys()
        if list(there[i].result) != known[i].result
    ]
    # By hand: nothing is skipped here, and of a task's annotations the one saved last counts.
    newest = {
        task.id: max(task.annotations, key=lambda one: (one.updated_at, one.id))
        for task in truth.values()
        if task.annotations
    }
    wanted = {(task_id, one.id) for task_id, one in newest.items()}
    manifest = run.manifest if run is not None else None
    entries = manifest.entries if manifest is not None else ()
    found.n_entries = len(entries)
    had = {(entry.task_id, entry.annotation_id) for entry in entries}
    left_out = {note.task_id for note in manifest.left_out} if manifest is not None else set()
    found.lost += [f"{one} is in no manifest" for one in wanted - had if one[0] not in left_out]
    found.stale += [f"{one} is in the manifest" for one in had - wanted]
    trained = run.candidates if run is not None else {}
    found.stale += [
        f"task {task_id} was trained on as it was before"
        for task_id, one in trained.items()
        if current.get(task_id) != one
    ]
    found.stale += [
        f"task {entry.task_id} is in the manifest as another one"
        for entry in entries
        if entry.task_id in tasks and entry.source != tasks[entry.task_id].source
    ]


def _compare_predictions(context: AppContext, project_id: int, found: Found) -> None:
    pushed = list(context.label_studio.iter_predictions(project_id))
    found.n_predictions = len(pushed)
    counted = Counter((one.task_id, one.model_version) for one in pushed)
    found.doubled += [f"{n} predictions of {one}" for one, n in counted.items() if n > 1]
    with context.store.begin() as session:
        champion = versions.champion(session, project_id)
        query = (
            select(PredictionRow.task_id, VersionRow.name)
            .join(TaskRow, TaskRow.id == PredictionRow.task_id)
            .join(VersionRow, VersionRow.id == PredictionRow.version_id)
            .where(is_live(), PredictionRow.error == "")
        )
        live = {(row.task_id, row.name) for row in session.execute(query)}
        unlabelled = set(
            session.scalars(
                select(TaskRow.id).where(
                    TaskRow.project_id == project_id,
                    TaskRow.state == TaskState.UNLABELLED,
                    TaskRow.removed_at.is_(None),
                )
            )
        )
    if champion is None:
        found.stuck.append("no version serves")
        return
    found.stale += [f"{one} is of another image, or not ours" for one in counted.keys() - live]
    found.stale += [f"{one} is of an older version" for one in counted if one[1] != champion.name]
    shown = {task_id for task_id, name in counted if name == champion.name}
    found.lost += [f"task {i} has no prediction" for i in unlabelled - shown]


def _look_for_leftovers(context: AppContext, found: Found) -> None:
    if busy := is_busy(context):
        found.stuck.append(busy)
    with context.store.begin() as session:
        found.stuck += [
            f"run {row.number} failed: {row.error}"
            for row in session.scalars(select(RunRow).where(RunRow.status == RunStatus.FAILED))
        ]
        for table in (RunRow, FoldRow):
            held = session.scalar(select(func.count(table.id)).where(table.lease_until != 0.0))
            found.stuck += [f"{held} leases of {table.__tablename__}"] if held else []
        at_work = session.scalars(select(TrialRow.task_id))
        found.stuck += [f"task {task_id} is at work" for task_id in at_work]
        numbers = Counter(session.scalars(select(RunRow.number)))
        found.doubled += [f"run {number}, {n} times" for number, n in numbers.items() if n > 1]
        for run in session.scalars(select(RunRow)):
            folds = Counter(row.fold for row in runs.folds_of(session, run.id))
            found.doubled += [f"fold {f} of run {run.number}" for f, n in folds.items() if n > 1]
    found.stuck += [
        f"{job.id} {job.state}: {job.cause}"
        for job in context.queue.jobs()
        if job.state in (JobState.FAILED, JobState.LOST)
    ]


def _epochs_lost(folder: Path) -> int:
    """The most epochs that a fold trained anew after it was interrupted once."""
    most = 0
    for path in folder.rglob(PROGRESS):
        epochs = []
        for line in path.read_text().splitlines():
            try:
                epochs.append(int(json.loads(line)["epoch"]))
            except (ValueError, KeyError):
                continue  # cut off by a kill
        most = max([most, *(before - after + 1 for before, after in pairwise(epochs))])
    return most

"""The doubts that still say something: of labels as they are now, that nobody has found right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.labels.of_version import reused_names
from backend.store import projects
from backend.store.identity import CHUNK
from backend.store.models import ProjectRow, TaskRow, VersionRow
from backend.store.quality import doubts
from backend.store.quality.doubts import LabelDoubtRow
from backend.store.tasks import snapshots
from backend.store.tasks.snapshots import LabelNow
from domain.doubts import NamedDoubt
from domain.errors import LabelConfigError, SettingsError


@dataclass(frozen=True, slots=True)
class DoubtedNow:
    """A label that is doubted, as it is now.

    Attributes:
        row: As it was kept.
        label: What counts of the task.
        doubts: Those that still mean something, in the names of now; at least one.
    """

    row: LabelDoubtRow
    label: LabelNow
    doubts: tuple[NamedDoubt, ...]


def doubted_now(session: Session, project: ProjectRow) -> list[DoubtedNow]:
    """The labels to look at, the most doubtful first.

    Left out is what was edited, deleted, skipped or found right since, whose task is gone or shows
    another image, and what is said of a class that the project has no more.
    """
    rows = [r for r in doubts.doubts_of(session, project.id) if r.checked_at is None]
    if not rows:
        return []
    policy = project.settings.annotator_policy
    now = snapshots.labels_now(session, project.id, policy, [row.task_id for row in rows])
    found = []
    names = _Names(session, project)
    for row in rows:
        label = now.get(row.task_id)
        if label is None or not row.is_of(label) or label.is_ground_truth:
            continue
        meant = names.meant(row)
        if meant:
            found.append(DoubtedNow(row, label, meant))
    return found


def settle_doubts(session: Session, project_id: int) -> int:
    """Notes which doubted labels a person has looked at and left as they are; how many.

    In Label Studio that is an annotation that was saved again as it was, which dates it anew, or
    that was marked as ground truth.
    """
    rows = [r for r in doubts.doubts_of(session, project_id) if r.checked_at is None]
    if not rows:
        return 0
    policy = projects.get(session, project_id).settings.annotator_policy
    now = snapshots.labels_now(session, project_id, policy, [row.task_id for row in rows])
    n_checked = 0
    for row in rows:
        label = now.get(row.task_id)
        if label is None or not row.is_of(label):
            continue
        if not row.saved_at:
            row.saved_at = label.saved_at
        if label.is_ground_truth or label.saved_at != row.saved_at:
            doubts.check(row)
            n_checked += 1
    return n_checked


def find_right(session: Session, project: ProjectRow, task_ids: Collection[int]) -> tuple[int, ...]:
    """Notes that a person found labels right.

    Args:
        session: Of the store.
        project: Whose.
        task_ids: Their tasks.

    Returns:
        The tasks whose label is not doubted now, and of which nothing was noted; rising.
    """
    now = {one.row.task_id: one.row for one in doubted_now(session, project)}
    for task_id in set(task_ids) & set(now):
        doubts.check(now[task_id])
    return tuple(sorted(set(task_ids) - set(now)))


def doubt_again(
    session: Session, project: ProjectRow, task_ids: Collection[int]
) -> tuple[int, ...]:
    """Takes back that labels were found right: they are doubted as before.

    Args:
        session: Of the store.
        project: Whose.
        task_ids: Their tasks.

    Returns:
        The tasks of which nothing could be taken back, rising: their label was not found right, is
        another one by now, or is marked as ground truth in Label Studio.
    """
    wanted = set(task_ids)
    found = doubts.doubts_of(session, project.id)
    rows = [r for r in found if r.checked_at is not None and r.task_id in wanted]
    policy = project.settings.annotator_policy
    now = snapshots.labels_now(session, project.id, policy, [row.task_id for row in rows])
    for row in rows:
        label = now.get(row.task_id)
        if label is not None and row.is_of(label) and not label.is_ground_truth:
            doubts.uncheck(row, label.saved_at)
            wanted.remove(row.task_id)
    return tuple(sorted(wanted))


def require_tasks(session: Session, project: ProjectRow, task_ids: Collection[int]) -> None:
    """Raises SettingsError where a project has not all of these tasks."""
    found: set[int] = set()
    ids = sorted(set(task_ids))
    for start in range(0, len(ids), CHUNK):
        query = select(TaskRow.id).where(
            TaskRow.project_id == project.id,
            TaskRow.removed_at.is_(None),
            TaskRow.id.in_(ids[start : start + CHUNK]),
        )
        found.update(session.scalars(query))
    unknown = [task_id for task_id in ids if task_id not in found]
    if unknown:
        named = ", ".join(map(str, unknown))
        raise SettingsError(
            f"Project {project.id} {project.title!r} has no task {named}; nothing was noted.",
            remedy=f"The column Task of `nnloop qa {project.id}` has the ids of doubtful labels.",
        )


class _Names:
    """What the classes of a project's doubts are called now."""

    def __init__(self, session: Session, project: ProjectRow) -> None:
        self._session, self._project = session, project
        self._names = label_names_of(project)
        try:
            self._present = label_config_of(project, project.settings).class_values
        except LabelConfigError:
            self._present = ()
        self._reused: dict[int, frozenset[str]] = {}

    def meant(self, row: LabelDoubtRow) -> tuple[NamedDoubt, ...]:
        """The row's doubts in the names of now, less those that mean nothing any more."""
        if row.version_id not in self._reused:
            version = self._session.get_one(VersionRow, row.version_id)
            self._reused[row.version_id] = reused_names(self._session, self._project, version)
        reused = self._reused[row.version_id]
        found = []
        for one in row.doubts:
            label = "" if one.label in reused else self._names.now(one.label)
            other = "" if one.other in reused else self._names.now(one.other)
            is_known = label in self._present and (not one.other or other in self._present)
            if is_known and label != other:
                found.append(one.called(label, other))
        return tuple(found)

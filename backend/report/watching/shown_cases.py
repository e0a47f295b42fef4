"""Which cases a preview shows, and which folds predict them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.image_names import image_names
from backend.pipeline.basis.lineage import GroupsNow, judges_by
from backend.pipeline.evaluate.chosen_cases import entries_of
from backend.report.watching.watched import WatchedRun, is_there
from backend.store.models import AnnotationRow, TaskRow
from backend.store.tasks import snapshots
from domain.case import ManifestEntry, case_id_of_task
from domain.errors import TrainingError
from domain.states import TaskState
from training.folds.film import read_film, telling_case
from training.folds.sample import in_fixed_order, sample_of
from training.versions.lineage import trained_on
from training.workspace import Workspace

CASES = 4
"""Shown where nobody says how many, shared by the folds, each with one at least."""

MOST_ROWS = 12
"""Rows of the picture."""

MOST_FOLDS = 6
"""Beside an image that nobody has labelled."""


@dataclass(frozen=True, slots=True)
class ShownCase:
    """A case to predict.

    Attributes:
        case_id: How its files are called.
        task: Its task.
        annotations: Those that count; () of a task that nobody has labelled.
        folds: That predict it: the one that holds it out, or several of a task without labels.
        name: What its image is called.
        remark: What the caption says of who predicts it; "" = nothing.
        is_one_of_many: Whether it was not named, but chosen for the fold.
    """

    case_id: str
    task: TaskRow
    annotations: tuple[AnnotationRow, ...]
    folds: tuple[int, ...]
    name: str
    remark: str = ""
    is_one_of_many: bool = False


def held_out_cases(
    session: Session, watched: WatchedRun, workspace: Workspace, n: int | None
) -> list[ShownCase]:
    """Held-out cases of each fold, the same ones each time: first the one of its film.

    Args:
        session: Of the store.
        watched: The run.
        workspace: Its project's.
        n: Of each fold; None: ``CASES`` in all.
    """
    manifest = watched.manifest
    n_each = n or max(1, CASES // max(manifest.n_folds, 1))
    policy = watched.project.settings.annotator_policy
    found: list[ShownCase] = []
    for row in watched.folds:
        entries = {one.case_id: one for one in manifest.entries if one.fold == row.fold}
        start = manifest.start_of(row.fold)
        remark = "" if start is None or start.seen is not None else _DOUBTFUL
        shown = 0
        for entry in _in_order(watched, workspace, row.fold, entries):
            if shown == n_each or len(found) == MOST_ROWS:
                break
            task = session.get(TaskRow, entry.task_id)
            if task is None or not is_there(session, entry) or task.state != TaskState.LABELLED:
                continue
            annotations = snapshots.chosen_of_task(session, task, policy)
            if annotations:
                case = ShownCase(entry.case_id, task, annotations, (row.fold,), "", remark, True)
                found.append(case)
                shown += 1
    names = image_names(session, watched.project, [one.task.id for one in found])
    return [replace(one, name=names.get(one.task.id) or f"task {one.task.id}") for one in found]


def not_shown(watched: WatchedRun, cases: Sequence[ShownCase]) -> list[str]:
    """A sentence on the folds that are asked for and predict none of the cases, and why."""
    shown = {fold for case in cases for fold in case.folds}
    missing = [row.fold for row in watched.folds if row.fold not in shown]
    is_named = not cases[0].is_one_of_many
    if not missing or (is_named and cases[0].annotations):
        return []
    if len(cases) == MOST_ROWS or not cases[0].annotations:
        return [
            f"Folds from {missing[0]} on are not shown; --fold K, given several times, chooses."
        ]
    return [
        f"Fold {fold} is not shown: no image that it holds out is labelled any more."
        for fold in missing
    ]


_DOUBTFUL = "may have been seen by the weights it started from"
_SEEN = "which was trained on it"
_SEEN_BY_ALL = "all folds have seen it in training"


def _in_order(
    watched: WatchedRun, workspace: Workspace, fold: int, entries: Mapping[str, ManifestEntry]
) -> Iterator[ManifestEntry]:
    first = _of_film(watched, workspace, fold, entries)
    if first in entries:
        yield entries[first]
    for case_id in in_fixed_order(entries):
        if case_id != first:
            yield entries[case_id]


def _of_film(
    watched: WatchedRun, workspace: Workspace, fold: int, entries: Mapping[str, ManifestEntry]
) -> str:
    """The case of the fold's film, or of the one that it is going to keep; "" = not known."""
    try:
        if (film := read_film(workspace.fold_dir(watched.run.number, fold))) is not None:
            return film.case_id
        sample = sample_of(entries)
        n_classes = len(watched.manifest.class_values)
        return telling_case(workspace, sample, n_classes) if sample else ""
    except TrainingError:  # a file is gone by now
        return ""


def named_task(session: Session, watched: WatchedRun, wanted: str) -> ShownCase:
    """The task that a person named, and who predicts it.

    Args:
        session: Of the store.
        watched: The run.
        wanted: A task's id, or the name of its image.

    Raises:
        TrainingError: There is none, or several have this image.
    """
    task = _find_task(session, watched, wanted)
    names = image_names(session, watched.project, [task.id])
    name = names.get(task.id) or f"task {task.id}"
    policy = watched.project.settings.annotator_policy
    annotations = snapshots.chosen_of_task(session, task, policy)
    asked = tuple(row.fold for row in watched.folds)
    case_id = case_id_of_task(task.id, task.source)
    if not annotations:
        return ShownCase(case_id, task, (), asked[:MOST_FOLDS], name)
    manifest = watched.manifest
    now = GroupsNow.today(session, watched.project.id)
    entries, joined = entries_of(
        manifest, [(task, annotations)], lambda row: now.group_of(row) or case_id_of_task(row.id)
    )
    [entry] = entries
    folds = range(manifest.n_folds)
    trained = {fold: trained_on(manifest, fold) for fold in folds}
    judges = judges_by(trained, manifest, replace(now, entries=tuple(entries), joined=joined))
    fold = judges.of(entries, asked).get(entry.case_id)
    if fold is None:
        is_own = watched.entry_of(entry.case_id) is not None and entry.fold in asked
        fold = entry.fold if is_own else asked[0]
        seen = _SEEN_BY_ALL if len(asked) == manifest.n_folds else _SEEN
        return ShownCase(entry.case_id, task, annotations, (fold,), name, seen)
    remark = _DOUBTFUL if fold in judges.doubtful else ""
    return ShownCase(entry.case_id, task, annotations, (fold,), name, remark)


def _find_task(session: Session, watched: WatchedRun, wanted: str) -> TaskRow:
    of_project = (TaskRow.project_id == watched.project.id, TaskRow.removed_at.is_(None))
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19:
        query = select(TaskRow).where(*of_project, TaskRow.id == int(wanted))
        if (task := session.scalar(query)) is not None:
            return task
    ids: Sequence[int] = session.scalars(select(TaskRow.id).where(*of_project)).all()
    called = [
        task_id
        for task_id, name in image_names(session, watched.project, ids).items()
        if name == wanted
    ]
    if len(called) == 1:
        return session.get_one(TaskRow, called[0])
    if called:
        raise TrainingError(
            f"{len(called)} tasks show an image called {wanted}.",
            remedy=f"Give the id of one: {', '.join(map(str, called[:MOST_ROWS]))}.",
        )
    raise TrainingError(
        f"There is no task {wanted}, and none whose image is called so.",
        remedy="Give the id of a task, or the file name of its image.",
    )

"""Which cases to look at: the worst whose truth is known, and the tasks that are least sure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of, label_names_of, reading_of
from backend.pipeline.cases.manifests import hash_of_label
from backend.pipeline.labels.of_version import interfaces_of
from backend.pipeline.labels.shown import as_shown, notes_of
from backend.pipeline.quality.calibrate import CORRECTED, HELD_OUT
from backend.store.models import AnnotationRow, PredictionRow, ProjectRow, TaskRow, VersionRow
from backend.store.quality import pairs
from backend.store.tasks import snapshots
from backend.store.tasks.predictions import is_live
from backend.store.training import versions
from domain.case import case_id_of_task
from domain.errors import LabelConfigError
from domain.labels import LabelGroup
from domain.states import TaskState
from training.evaluation import ClassDice, image_dice


@dataclass(frozen=True, slots=True)
class ChosenCase:
    """A case to look at.

    Attributes:
        task: Its task as it is now.
        case_id: How its files are called.
        annotations: Those that count, without their regions; () of a task that nobody labelled.
        fold: That predicts it, the one that held it out; None = the mean of all.
        kind: ``HELD_OUT``, ``CORRECTED``, or "" of a task that nobody labelled.
        dice: Of the image, in [0, 1]; None without a truth.
        dice_per_class: By the names of now.
        is_changed: Whether its annotation, or how annotations are read, is another one than the
            Dice was measured with.
        score: Dice to expect; None where it was not told.
        why: A sentence on what is least certain; "" = none.
        name: What its image is called; "" where that is not known.
    """

    task: TaskRow
    case_id: str
    annotations: tuple[AnnotationRow, ...] = ()
    fold: int | None = None
    kind: str = ""
    dice: float | None = None
    dice_per_class: ClassDice | None = None
    is_changed: bool = False
    score: float | None = None
    why: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A case with a truth, before its task is looked up."""

    dice: float
    task_id: int
    source: str
    case_id: str
    fold: int | None
    kind: str
    dice_per_class: ClassDice
    content_hash: str


def worst_cases(
    session: Session, project: ProjectRow, version: VersionRow, n: int
) -> tuple[list[ChosenCase], int]:
    """The n with the lowest Dice, lowest first, and of how many images.

    Held-out cases of the version and corrections of its predictions; of those tasks that are still
    there, show the image they showed, and are labelled.
    """
    names = label_names_of(project)
    labelled = _labelled(session, project)
    judged = [
        one
        for one in (*_held_out(session, version), *_corrected(session, version))
        if one.task_id in labelled and one.source in ("", labelled[one.task_id])
    ]
    found: list[ChosenCase] = []
    policy = project.settings.annotator_policy
    try:
        reading = reading_of(label_config_of(project, project.settings), project.settings)
    except LabelConfigError:
        reading = []  # nothing can be read as it was
    for one in sorted(judged, key=lambda one: (one.dice, one.task_id)):
        if len(found) == n:
            break
        task = session.get_one(TaskRow, one.task_id)
        annotations = snapshots.chosen_of_task(session, task, policy)
        if not annotations:
            continue
        now = hash_of_label(snapshots.hash_of(annotations), reading)
        found.append(
            ChosenCase(
                task=task,
                case_id=one.case_id,
                annotations=annotations,
                fold=one.fold,
                kind=one.kind,
                dice=one.dice,
                dice_per_class=names.renamed(one.dice_per_class),
                is_changed=one.kind == HELD_OUT and now != one.content_hash,
            )
        )
    return found, len({one.task_id for one in judged})


def least_sure(session: Session, version: VersionRow, n: int) -> list[ChosenCase]:
    """The n unlabelled tasks with the lowest scores of a version, lowest first.

    Why is said in the names of now, as Label Studio shows it.
    """
    group = _group_now(session, version)
    query = (
        select(TaskRow, PredictionRow)
        .join(PredictionRow, PredictionRow.task_id == TaskRow.id)
        .where(
            PredictionRow.version_id == version.id,
            PredictionRow.error == "",
            TaskRow.project_id == version.project_id,
            TaskRow.state == TaskState.UNLABELLED,
            TaskRow.removed_at.is_(None),
            is_live(),
        )
        .order_by(PredictionRow.score, TaskRow.id)
        .limit(n)
    )
    return [
        ChosenCase(
            task=task,
            case_id=case_id_of_task(task.id, task.source),
            score=prediction.score,
            why=next(iter(notes_of(as_shown(prediction.result, group)[0] if group else ())), ""),
        )
        for task, prediction in session.execute(query)
    ]


def _labelled(session: Session, project: ProjectRow) -> dict[int, str]:
    """The sources of the labelled tasks that are there now, by their ids."""
    query = select(TaskRow.id, TaskRow.source).where(
        TaskRow.project_id == project.id,
        TaskRow.state == TaskState.LABELLED,
        TaskRow.removed_at.is_(None),
    )
    return {row.id: row.source for row in session.execute(query)}


def _group_now(session: Session, version: VersionRow) -> LabelGroup | None:
    """The labels, less those by which a version means another class; None where none is read."""
    try:
        return interfaces_of(session, version)[1].group
    except LabelConfigError:
        return None


def _held_out(session: Session, version: VersionRow) -> Iterable[_Judged]:
    manifest = versions.manifest_of(session, version)
    if manifest is None:
        return
    starts = getattr(manifest, "starts", ())
    doubtful = {fold for fold, start in enumerate(starts) if start.seen is None}
    for entry in manifest.entries:
        dice = version.metrics.dice_per_case.get(entry.case_id)
        if dice is not None and entry.fold not in doubtful:
            yield _Judged(
                image_dice(dice.values()),
                entry.task_id,
                entry.source,
                entry.case_id,
                entry.fold,
                HELD_OUT,
                dice,
                entry.content_hash,
            )


def _corrected(session: Session, version: VersionRow) -> Iterable[_Judged]:
    for row in pairs.pairs_of(session, [version.id]):
        if row.dice is not None:
            yield _Judged(
                row.dice,
                row.task_id,
                row.source,
                case_id_of_task(row.task_id, row.source),
                None,
                CORRECTED,
                row.dice_per_class,
                "",
            )

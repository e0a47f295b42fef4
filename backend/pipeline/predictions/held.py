"""Predictions under the names that the interface has now; those it can't show are held."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.label_studio import PushedPrediction
from backend.pipeline.basis.context import AppContext
from backend.pipeline.labels.of_version import interfaces_of
from backend.pipeline.labels.questions import in_quotes, replace_problems
from backend.pipeline.labels.shown import as_shown, notes_of
from backend.store.models import PredictionRow, TaskRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from converters.label_studio.config.controls import first_misplaced, places_of
from converters.label_studio.relabel import label_names
from converters.label_studio.write import validate_prediction
from domain.labels import LabelConfig, LabelGroup
from domain.states import TaskState
from domain.text import counted

HELD = "held"
"""Reason of the problem that says what is held."""

# So many outdated predictions are deleted one by one (13 per second); more take all of the version
# with them, which is one call, and are pushed again with the others.
MAX_SINGLE = 50

# Label Studio keeps a score as it was sent.
SAME_SCORE = 1e-6

_CHUNK = 500
_OTHERS = "Other classes are called"


def why_held(lost: Sequence[str], config: LabelConfig) -> str:
    """The sentence of a prediction whose labels can't be shown; "" when all can.

    Args:
        lost: Names that the version means and the interface lacks, or means otherwise now.
        config: The labelling interface.
    """
    other = [name for name in lost if name in config.class_values]
    lacking = [name for name in lost if name not in other]
    said = []
    if lacking:
        said.append(f"The labelling interface lacks {in_quotes(sorted(lacking))}.")
    if other:
        said.append(f"{_OTHERS} {in_quotes(sorted(other))} now.")
    return " ".join(said)


def remedy_of(project_id: int, why: str) -> str:
    """What to do about predictions that are held for a reason (``why_held``)."""
    if why.startswith(_OTHERS):
        return f"Train for the new interface: nnloop train {project_id}"
    return (
        f"Was it renamed? nnloop labels {project_id} --map OLD=NEW pushes them under the new name. "
        f"Else put it back, or train for the new interface: nnloop train {project_id}"
    )


def rows_to_push(
    context: AppContext, project_id: int, batch: Sequence[PredictionRow], version: str
) -> list[PushedPrediction]:
    """What of a batch may go out, in the labels of today; the others are held from now on."""
    with context.store.begin() as session:
        serving = session.get_one(VersionRow, batch[0].version_id)
        config, known = interfaces_of(session, serving)
        places = places_of(config.group)
        found = []
        for row in batch:
            result, lost = as_shown(row.result, known.group)
            if (
                not lost
                and first_misplaced(result, places) is None
                and (result == row.result or not _misfits(config, result, row.score))
            ):
                found.append(PushedPrediction(row.task_id, result, row.score, version))
            elif (stored := session.get(PredictionRow, row.id)) is not None:
                stored.held = why_held(lost, config)
                if not lost:
                    session.delete(stored)
    return found


def held_by_label_studio(
    context: AppContext,
    project_id: int,
    version: VersionRow,
    task_ids: Sequence[int] | None = None,
) -> set[int]:
    """The tasks whose prediction of a version Label Studio holds as it should be.

    One that says something else than the store in the labels of today, or is held, is deleted
    there, and so is a second one, of a push that took so long that it was made again. What the
    store holds is released where the interface has its labels again.

    Args:
        context: The process's context.
        project_id: Which project.
        version: Which version.
        task_ids: Only these tasks are looked at; None: all.
    """
    client = context.label_studio
    with context.store.begin() as session:
        config, known = interfaces_of(session, version)
        _release(session, version.id, config, known)
        places = places_of(config.group)
    outdated: list[int] = []
    present: set[int] = set()
    theirs = client.iter_predictions(project_id, version.name, task_ids=task_ids)
    while chunk := list(islice(theirs, _CHUNK)):
        with context.store.begin() as session:
            mine = _waiting(session, version.id, [row.task_id for row in chunk])
            for row in chunk:
                is_misplaced = first_misplaced(row.result, places) is not None
                is_second = row.task_id in present
                if (
                    is_second
                    or is_misplaced
                    or _is_outdated(row, mine.get(row.task_id), known.group)
                ):
                    outdated.extend([row.id] if row.id is not None else [])
                else:
                    present.add(row.task_id)
    if len(outdated) > MAX_SINGLE:
        client.delete_model_version(project_id, version.name)
        with context.store.begin() as session:
            versions.mark_withdrawn(session, version.id)
        return set()
    for prediction_id in outdated:
        client.delete_prediction(prediction_id)
    return present


def held_of(session: Session, project_id: int, version: VersionRow) -> list[tuple[str, str]]:
    """What of a version is held, of unlabelled tasks: a sentence for each cause, and its remedy."""
    query = (
        select(PredictionRow.held, func.count())
        .join(TaskRow, TaskRow.id == PredictionRow.task_id)
        .where(
            PredictionRow.version_id == version.id,
            PredictionRow.held != "",
            TaskRow.removed_at.is_(None),
            TaskRow.state == TaskState.UNLABELLED,
        )
        .group_by(PredictionRow.held)
        .order_by(PredictionRow.held)
    )
    return [
        (
            f"{counted(n, 'prediction')} of {version.name} "
            f"{'is' if n == 1 else 'are'} held: {why[:1].lower()}{why[1:]}",
            remedy_of(project_id, why),
        )
        for why, n in session.execute(query)
    ]


def report_held(session: Session, project_id: int, version: VersionRow) -> None:
    """Says once what of the serving version is held; nothing when nothing is."""
    said = [(HELD, *one) for one in held_of(session, project_id, version)]
    replace_problems(session, project_id, (HELD,), said)


def _waiting(session: Session, version_id: int, task_ids: list[int]) -> dict[int, PredictionRow]:
    """Predictions that count as not pushed, of some tasks."""
    found = predictions.find(session, version_id, task_ids)
    return {i: row for i, row in found.items() if row.published_at is None and not row.error}


def _is_outdated(theirs: PushedPrediction, mine: PredictionRow | None, group: LabelGroup) -> bool:
    """Whether Label Studio shows other labels than it should by now, or another version's answer.

    A project that was disconnected and connected again counts its versions anew: what an older one
    of the same name left there would pass for this one's.
    """
    if mine is None:
        return False
    result, lost = as_shown(mine.result, group)
    if abs((theirs.score or 0.0) - mine.score) > SAME_SCORE or len(theirs.result) != len(result):
        return True
    if notes_of(theirs.result) != notes_of(result):
        return True
    shown = label_names(theirs.result, group)
    return bool(lost) or (bool(shown) and shown != label_names(result, group))


def _release(session: Session, version_id: int, config: LabelConfig, known: LabelConfig) -> None:
    """Lets predictions go whose labels the interface has (again), or has under another name."""
    query = select(PredictionRow).where(
        PredictionRow.version_id == version_id, PredictionRow.held != ""
    )
    for row in session.scalars(query):
        result, lost = as_shown(row.result, known.group)
        row.held = why_held(lost, config)
        if not lost and _misfits(config, result, row.score):
            session.delete(row)


def _misfits(config: LabelConfig, result: list[Any], score: float | None) -> bool:
    """Whether another control draws the class now: it is predicted again, in that form."""
    return bool(validate_prediction(config, result, score=score))

"""Puts another version in service by hand: promote, roll back, pin."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.gate.retention import prune_quietly
from backend.pipeline.models.find import find_version
from backend.queue import JobName
from backend.store import pauses, projects
from backend.store.models import VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from domain.errors import SettingsError, StackError
from domain.states import VersionStatus
from training.versions.version_folder import read_version

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Another version serves.

    Attributes:
        version: The one that serves now.
        before: The one that served, "" without one.
        to_push: Its predictions that are stored and go back to Label Studio.
        to_score: Unlabelled tasks it has not seen; they are scored first.
        is_queued: False when the queue does not answer: the change is made by the next `nnloop up`.
    """

    version: str
    before: str
    to_push: int
    to_score: int
    is_queued: bool


def promote(context: AppContext, name: str, project_id: int | None = None) -> Change:
    """Lets a version serve, whatever the gate said; the one that served is retired.

    The pointer moves in one transaction. Label Studio follows when the tasks the version has not
    seen are scored: then its stored predictions are pushed and the other's removed. Until then
    annotators see the other's. A job does that; if it gets lost or the queue is down, the loop's
    next tick asks for it again, because the version counts as not published.

    Raises:
        SettingsError: There is no such version, it serves already, it was pruned, or it knows none
            of the project's labels.
    """
    with context.store.begin() as session:
        change, row = _serve(
            session, find_version(session, name, project_id), VersionStatus.RETIRED
        )
    return _follow_up(context, row.project_id, change)


def rollback(context: AppContext, project_id: int, name: str | None = None) -> Change:
    """Goes back to an earlier version, by default the one that served before.

    The version that served is marked rejected, so that going back once more goes further back.
    Otherwise as ``promote``.

    Raises:
        SettingsError: No version served before, or as for ``promote``.
    """
    with context.store.begin() as session:
        if name is None:
            target = versions.predecessor(session, project_id)
            if target is None:
                raise SettingsError(
                    "No other version has served this project and still has its weights.",
                    remedy="`nnloop models list` shows all; `nnloop models promote NAME` takes "
                    "any that is not pruned.",
                )
        else:
            target = find_version(session, name, project_id)
        change, _ = _serve(session, target, VersionStatus.REJECTED)
    return _follow_up(context, project_id, change)


def pin(context: AppContext, name: str, project_id: int | None = None, *, is_pinned: bool) -> None:
    """Keeps a version from being pruned, or no longer.

    Raises:
        SettingsError: There is no such version, or it was pruned already.
    """
    with context.store.begin() as session:
        row = find_version(session, name, project_id)
        _check_weights(row)
        row.is_pinned = is_pinned


def ask_for_scoring(context: AppContext, project_id: int) -> bool:
    """Asks for the champion's scoring, which ends in publishing; False when the queue is down."""
    with context.store.begin() as session:
        # What failed so far failed with another version, or a person wants it tried now.
        pauses.end(session, project_id, "score")
        pauses.end(session, project_id, "publish")
    try:
        context.queue.ensure(JobName.SCORE, project_id, 0)
    except StackError as error:
        logger.warning("Project %d: %s", project_id, error)
        return False
    return True


def _serve(
    session: Session, row: VersionRow, old_becomes: VersionStatus
) -> tuple[Change, VersionRow]:
    old = versions.champion(session, row.project_id)
    if old is not None and old.id == row.id:
        raise SettingsError(
            f"{row.name} serves already.", remedy="`nnloop models list` names the others."
        )
    _check_weights(row)
    _check_labels(session, row)
    versions.promote(session, row, old_becomes=old_becomes)
    session.flush()
    change = Change(
        version=row.name,
        before=old.name if old else "",
        to_push=predictions.count_unpublished(session, row.id),
        to_score=predictions.count_unscored(session, row.project_id, row.id),
        is_queued=True,
    )
    return change, row


def _follow_up(context: AppContext, project_id: int, change: Change) -> Change:
    logger.info("Project %d: %s serves by hand.", project_id, change.version)
    is_queued = ask_for_scoring(context, project_id)
    prune_quietly(context, project_id)
    return replace(change, is_queued=is_queued)


def _check_weights(row: VersionRow) -> None:
    if row.pruned_at is not None:
        raise SettingsError(
            f"{row.name} was pruned: its weights are gone.",
            remedy="Choose another (`nnloop models list`); raise keep_versions or pin a version "
            "to keep it (`nnloop models pin NAME`).",
        )


def _check_labels(session: Session, row: VersionRow) -> None:
    project = projects.get(session, row.project_id)
    config = label_config_of(project, project.settings)
    known = read_version(Path(row.path)).class_values
    if all(config.group.class_by_value(value) is None for value in known):
        raise SettingsError(
            f"{row.name} knows the labels {', '.join(known)}; the labelling interface has none of "
            "them.",
            remedy="Choose a version that was trained on the present labels.",
        )

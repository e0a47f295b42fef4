"""Pushes stored predictions to Label Studio and makes the champion the version it samples by."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from filelock import FileLock

from backend.pipeline.basis.context import AppContext
from backend.pipeline.predictions.held import held_by_label_studio, report_held
from backend.pipeline.predictions.sending import push_batch
from backend.pipeline.predictions.withdraw import withdraw
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.tasks import elsewhere, predictions
from backend.store.training import versions
from domain.errors import LabelStudioError, ProjectGoneError

logger = logging.getLogger(__name__)

# Predictions held in memory at once.
BATCH = 2_000

LOCK = "publish.lock"
"""File in a project's folder, locked by who pushes."""

MENDED = ("model_version", "predictions_missing")
"""Faults of the connection that publishing mends."""


@dataclass(frozen=True, slots=True)
class PublishReport:
    """How many predictions Label Studio took, and how many it silently dropped."""

    version: str
    pushed: int
    dropped: int


def publish(context: AppContext, project_id: int, *, wholly: bool = False) -> PublishReport | None:
    """Brings Label Studio to the champion's predictions; None without a champion.

    Order matters to annotators: first the new predictions (sent, then looked for, because Label
    Studio drops invalid ones without a word), then ``model_version`` of the project (uncertainty
    sampling is random while it does not match), then the old versions go. Before all that, what
    Label Studio holds of tasks that have become others goes.
    The old ones stay while a version that has just come into service has not seen every task.
    Idempotent by (task, version): what Label Studio holds already is not sent again, what somebody
    deleted there is.

    Args:
        context: The process's context.
        project_id: A connected project.
        wholly: Everything that Label Studio holds of the version is compared with the store.
            Without it only where Label Studio counts more or fewer than it should, or other labels
            or an older connection may have left something else.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    withdraw(context, project_id)
    with context.store.begin() as session:
        version = versions.champion(session, project_id)
        if version is None:
            return None
        others = {v.name: v.id for v in versions.versions_of(session, project_id)}
        del others[version.name]
        n_wanted = predictions.count_held(session, version.id)
    present = context.label_studio.count_predictions(project_id)
    n_there = present.get(version.name, 0)
    is_other = version.published_at is None and n_there != n_wanted
    # More: an import that a proxy gave up was done after it had been looked for.
    is_all = wholly or is_other or n_there != n_wanted
    # Without tasks this only releases what the labels of today can show again.
    held = held_by_label_studio(context, project_id, version, None if is_all else ())
    if is_all:
        with context.store.begin() as session:
            predictions.mark_lost(session, version.id, held)
            predictions.mark_published(session, version.id, held)
    pushed = dropped = 0
    while True:
        with context.store.begin() as session:
            batch = predictions.unpublished(session, version.id, BATCH)
        if not batch:
            break
        taken, n_dropped = push_batch(context, project_id, version, batch)
        pushed += len(taken)
        dropped += n_dropped
    with context.store.begin() as session:
        is_shown = predictions.count_held(session, version.id) > 0
    show(context, project_id, version, is_shown=is_shown)
    with context.store.begin() as session:
        is_complete = not predictions.unscored_tasks(
            session, project_id, version.id, 1, retry=False
        )
        report_held(session, project_id, version)
    if is_complete or version.published_at is not None:
        _retire(context, project_id, others, present)
        _retire_elsewhere(context, project_id, version, present)
        _retire_unknown(context, project_id, present)
        with context.store.begin() as session:
            versions.mark_published(session, version.id)
    logger.info("Project %d: %d predictions of %s pushed.", project_id, pushed, version.name)
    return PublishReport(version.name, pushed, dropped)


def show(context: AppContext, project_id: int, version: VersionRow, *, is_shown: bool) -> None:
    """Makes a version the one that annotators see and are served by, once some of it is there."""
    client = context.label_studio
    if is_shown and client.project(project_id).model_version != version.name:
        client.set_model_version(project_id, version.name)


def _retire(
    context: AppContext, project_id: int, others: Mapping[str, int], present: Mapping[str, int]
) -> None:
    """Removes what Label Studio holds of other versions; the store keeps it, to go back to."""
    for name, version_id in others.items():
        if name in present:
            context.label_studio.delete_model_version(project_id, name)
        with context.store.begin() as session:
            versions.mark_withdrawn(session, version_id)


def _retire_unknown(context: AppContext, project_id: int, held: Mapping[str, int]) -> None:
    """Removes what versions left that this store does not know.

    Those of an earlier connection, and those since the backup that the store was restored from; not
    where another nnloop has the project.
    """
    with context.store.read() as session:
        names = versions.unknown(session, project_id, held)
        found = projects.open_problems(session, project_id) if names else []
    if any(problem.reason == "other_nnloop" for problem in found):
        return
    for name in names:
        n = context.label_studio.delete_model_version(project_id, name)
        logger.info("Project %d: %d predictions of a lost %s retired.", project_id, n, name)


def _retire_elsewhere(
    context: AppContext, project_id: int, version: VersionRow, present: Mapping[str, int]
) -> None:
    """Removes what other programs said before the version came into service.

    What somebody imports later, beside a version that serves, stays until the next one.
    """
    with context.store.begin() as session:
        found = elsewhere.live_versions_of(session, project_id)
    old = [name for name, at in found.items() if at < (version.promoted_at or 0.0)]
    for name in old:
        if name in present:
            n = context.label_studio.delete_model_version(project_id, name)
            logger.info("Project %d: %d predictions of %s retired.", project_id, n, name)
        with context.store.begin() as session:
            elsewhere.forget(session, project_id, name)


def try_publish(
    context: AppContext, project_id: int, *, wholly: bool = False
) -> PublishReport | None:
    """``publish``; a refusal is recorded as a problem of the project before it is raised."""
    with context.store.begin() as session:
        if project_id in projects.halted(session):
            raise ProjectGoneError(
                f"Nothing is pushed to project {project_id}: it is not in Label Studio any more.",
                remedy=f"See nnloop status {project_id}.",
            )
    folder = context.workspace(project_id).folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Two at once (a worker and `nnloop publish`) would both find a prediction missing.
        with FileLock(folder / LOCK):
            report = publish(context, project_id, wholly=wholly)
    except LabelStudioError as error:
        with context.store.begin() as session:
            projects.report_problem(
                session,
                project_id,
                "publish",
                projects.Fault("label_studio", str(error)),
            )
        raise
    with context.store.begin() as session:
        projects.resolve_problems(session, project_id, "publish", reason="label_studio")
        for reason in MENDED:
            projects.resolve_problems(session, project_id, projects.CONNECTION, reason=reason)
    return report

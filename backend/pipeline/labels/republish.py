"""Predictions that go out anew because labels are called otherwise, went, or are ignored by now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.labels.of_version import classes_of_version, mapping_at
from backend.settings import ProjectSettings
from backend.store.models import PredictionRow, ProjectRow, TaskRow, VersionRow
from backend.store.training import versions
from domain.labels import DROPPED, LabelNames
from domain.states import TaskState


def push_anew(session: Session, version: VersionRow) -> None:
    """Lets a version's pushed predictions be checked and sent again."""
    versions.mark_withdrawn(session, version.id)
    version.published_at = None


def publish_again(
    session: Session, project: ProjectRow, before: LabelNames, after: LabelNames
) -> None:
    """Lets the serving version's predictions go out under other names, or be held.

    Only where its classes are called otherwise now, have gone, or are back. Where classes became
    one, or no longer are, what is stored has other outlines: it is predicted again where nobody has
    labelled yet. What people have seen and corrected stays, for nothing else says how good it was.
    """
    for version in versions.versions_of(session, project.id):
        values = classes_of_version(session, version)
        known = mapping_at(session, version)
        was, now = (_effective(names, values, names.reused(known)) for names in (before, after))
        if was == now:
            continue
        if _merged(was) != _merged(now):
            _predict_again(session, version.id)
        if version.id == project.champion_id:
            push_anew(session, version)


def publish_without_ignored(session: Session, project: ProjectRow, before: ProjectSettings) -> None:
    """Lets predictions go out anew where other labels are ignored, or background, than before.

    What was pushed of a label that is no class any more goes from Label Studio. One that is a class
    again was not drawn meanwhile: it is predicted where nobody has labelled yet.

    Args:
        session: In a transaction.
        project: With the settings of now.
        before: Those of before.
    """
    names = label_names_of(project)

    def none_of(settings: ProjectSettings) -> set[str]:
        given = (settings.ignore_label, settings.background_label)
        return {names.now(name) for name in given if name}

    was, now = none_of(before), none_of(project.settings)
    if was == now:
        return
    for version in versions.versions_of(session, project.id):
        classes = {names.now(value) for value in classes_of_version(session, version)}
        if (was - now) & classes:
            _predict_again(session, version.id)
        if (was ^ now) & classes and version.id == project.champion_id:
            push_anew(session, version)


def _predict_again(session: Session, version_id: int) -> None:
    labelled = select(TaskRow.id).where(TaskRow.state == TaskState.LABELLED)
    is_open = PredictionRow.task_id.not_in(labelled)
    session.execute(delete(PredictionRow).where(PredictionRow.version_id == version_id, is_open))


def _merged(names: Sequence[str | None]) -> list[int]:
    """For each class the first one that has its name too."""
    return [k if name in (None, DROPPED) else names.index(name) for k, name in enumerate(names)]


def _effective(
    names: LabelNames, values: Iterable[str], reused: Collection[str]
) -> tuple[str | None, ...]:
    return tuple(
        now if now == DROPPED or (now in names.present and now not in reused) else None
        for now in map(names.now, values)
    )

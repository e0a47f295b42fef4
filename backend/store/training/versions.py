"""The versions of a project: which serves, which served before, which may go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import JSON, func, select, type_coerce, update
from sqlalchemy.orm import Session

from backend.store import clock
from backend.store.models import PredictionRow, ProjectRow, RunRow, VersionRow
from domain.states import VersionOrigin, VersionStatus
from training.versions.manifests import EnsembleManifest, RunManifest


def versions_of(session: Session, project_id: int) -> list[VersionRow]:
    """All versions, oldest first."""
    query = select(VersionRow).where(VersionRow.project_id == project_id)
    return list(session.scalars(query.order_by(VersionRow.id)))


OWN_NAME = re.compile(r"nnloop-[ve](\d{1,9})")
"""Names that nnloop gives to versions and ensembles."""


class VersionBrief(NamedTuple):
    """What of a version can be told without reading its figures."""

    id: int
    name: str
    run_id: int | None
    origin: VersionOrigin
    labels: int


def briefs_of(session: Session, project_id: int) -> list[VersionBrief]:
    """All versions in brief, oldest first: figures of thousands of cases are not read."""
    labels = func.coalesce(type_coerce(VersionRow.metrics, JSON)["labels"].as_integer(), 0)
    query = select(VersionRow.id, VersionRow.name, VersionRow.run_id, VersionRow.origin, labels)
    rows = session.execute(query.where(VersionRow.project_id == project_id).order_by(VersionRow.id))
    return [VersionBrief(i, name, run, VersionOrigin(kind), n) for i, name, run, kind, n in rows]


def version_of_run(session: Session, run_id: int) -> VersionRow | None:
    """The version a run made."""
    return session.scalar(select(VersionRow).where(VersionRow.run_id == run_id))


def name_of(run: RunRow) -> str:
    """Name of the version a run makes; also of its folder."""
    return f"nnloop-v{run.number}"


def note_unknown(session: Session, project_id: int, held: Iterable[str]) -> None:
    """Lets no later run give a name again that Label Studio knows from before this store.

    Of an earlier connection, or of versions since the backup that the store was restored from:
    their predictions must not pass for those of another version.

    Args:
        session: Of the store.
        project_id: A connected project.
        held: The names that Label Studio holds predictions of.
    """
    found = [OWN_NAME.fullmatch(name) for name in unknown(session, project_id, held)]
    numbers = [int(name[1]) for name in found if name]
    project = session.get_one(ProjectRow, project_id)
    project.number_taken = max(project.number_taken, *numbers, 0)


def unknown(session: Session, project_id: int, held: Iterable[str]) -> list[str]:
    """Names like nnloop's own that no version of the project has."""
    known = set(session.scalars(select(VersionRow.name).where(VersionRow.project_id == project_id)))
    return [name for name in held if name not in known and OWN_NAME.fullmatch(name)]


def by_name(session: Session, name: str, project_id: int | None = None) -> list[VersionRow]:
    """Versions of this name: in one project at most one, else one per project."""
    query = select(VersionRow).where(VersionRow.name == name)
    if project_id is not None:
        query = query.where(VersionRow.project_id == project_id)
    return list(session.scalars(query.order_by(VersionRow.project_id)))


def champion(session: Session, project_id: int) -> VersionRow | None:
    """The version that serves."""
    project = session.get(ProjectRow, project_id)
    if project is None or project.champion_id is None:
        return None
    return session.get(VersionRow, project.champion_id)


def manifest_of(session: Session, version: VersionRow) -> RunManifest | EnsembleManifest | None:
    """What a version was trained on; None when it was trained elsewhere."""
    if version.run_id is None:
        return version.manifest
    return session.get_one(RunRow, version.run_id).manifest


def group_key_of(session: Session, version: VersionRow) -> str | None:
    """The setting ``group_key`` that explains the groups of a version's manifest."""
    if version.run_id is None:
        return version.manifest.group_key if version.manifest else None
    return session.get_one(RunRow, version.run_id).settings.group_key


def predecessor(session: Session, project_id: int) -> VersionRow | None:
    """The version that served before the champion and can serve again; None without one.

    A version that a rollback took out of service is rejected, not retired, so going back twice
    goes further back.
    """
    query = select(VersionRow).where(
        VersionRow.project_id == project_id,
        VersionRow.status == VersionStatus.RETIRED,
        VersionRow.promoted_at.is_not(None),
        VersionRow.pruned_at.is_(None),
    )
    return session.scalar(query.order_by(VersionRow.promoted_at.desc(), VersionRow.id.desc()))


def former(session: Session, project_id: int, version_id: int) -> VersionRow | None:
    """The version that served last before this one; None where no other has served."""
    query = select(VersionRow).where(
        VersionRow.project_id == project_id,
        VersionRow.id != version_id,
        VersionRow.promoted_at.is_not(None),
    )
    return session.scalar(
        query.order_by(VersionRow.promoted_at.desc(), VersionRow.id.desc()).limit(1)
    )


def promote(
    session: Session, version: VersionRow, *, old_becomes: VersionStatus = VersionStatus.RETIRED
) -> None:
    """Moves the champion pointer to a version, in the caller's transaction.

    Its predictions of an earlier time count as not pushed: Label Studio lost them when another
    version took over.
    """
    project = session.get_one(ProjectRow, version.project_id)
    old = champion(session, version.project_id)
    if old is not None and old.id != version.id:
        old.status = old_becomes
    version.status = VersionStatus.CHAMPION
    version.promoted_at = clock.now()
    version.published_at = None
    project.champion_id = version.id
    mark_withdrawn(session, version.id)


def mark_published(session: Session, version_id: int) -> None:
    """Notes that Label Studio now shows this version."""
    session.get_one(VersionRow, version_id).published_at = clock.now()


def mark_withdrawn(session: Session, version_id: int) -> None:
    """Notes that Label Studio holds no prediction of this version any more."""
    session.execute(
        update(PredictionRow)
        .where(PredictionRow.version_id == version_id, PredictionRow.published_at.is_not(None))
        .values(published_at=None)
    )

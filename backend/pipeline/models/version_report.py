"""VersionReport: a version's figures."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.report import Report
from backend.store import projects
from backend.store.models import RunRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from domain.states import VersionOrigin, VersionStatus


class VersionReport(Report):
    """One model version, with the gate's sentence. ``run`` is 0 when it was trained elsewhere.

    ``oof_dice`` is None for a class that no held-out case says anything about.
    """

    name: str
    status: VersionStatus
    run: int
    labels: int
    oof_dice: dict[str, float | None]
    gate: str
    scored: int
    published: int
    failed: int
    promoted_at: float | None
    published_at: float | None
    origin: VersionOrigin = VersionOrigin.TRAINED
    size_bytes: int = 0
    created_at: float = 0.0
    is_pinned: bool = False
    pruned_at: float | None = None

    @property
    def standing(self) -> str:
        """Its status in a word: one that served until a person went back is "rolled back"."""
        return standing_of(self.status, self.promoted_at)


def standing_of(status: VersionStatus, promoted_at: float | None) -> str:
    """A version's status in a word; ``VersionReport.standing``."""
    was_taken_back = status == VersionStatus.REJECTED and promoted_at is not None
    return "rolled back" if was_taken_back else str(status)


def version_reports(session: Session, project_id: int) -> tuple[VersionReport, ...]:
    """All versions of a project, oldest first."""
    return tuple(version_report(session, row) for row in versions.versions_of(session, project_id))


def version_report(session: Session, row: VersionRow) -> VersionReport:
    """The figures of one version, its classes as they are called now."""
    names = label_names_of(projects.get(session, row.project_id))
    scored, published, failed = predictions.counts(session, row.id)
    # The number alone: a run's manifest names every case.
    number = session.scalar(select(RunRow.number).where(RunRow.id == row.run_id))
    return VersionReport(
        name=row.name,
        status=VersionStatus(row.status),
        run=number or 0,
        labels=row.metrics.labels,
        oof_dice=names.renamed(row.metrics.oof_dice),
        gate=row.metrics.gate.reason if row.metrics.gate else "",
        scored=scored,
        published=published,
        failed=failed,
        promoted_at=row.promoted_at,
        published_at=row.published_at,
        origin=VersionOrigin(row.origin),
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        is_pinned=row.is_pinned,
        pruned_at=row.pruned_at,
    )

"""Frees what old versions and finished runs take up on the disk, by count and bytes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.settings import ProjectSettings
from backend.store import clock, projects
from backend.store.models import RunRow, VersionRow
from backend.store.training import runs, versions
from domain.states import RUN, VersionStatus
from training.versions.version_folder import MEMBERS, remove_weights, size_bytes

logger = logging.getLogger(__name__)

KEPT_RUN_LOGS = 20
"""Finished runs whose logs, curves and films stay; 1 or 2 MB each."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was pruned, or would be: names of versions, bytes, folders of runs.

    ``freed_bytes`` counts a checkpoint once, though a version, its run and an ensemble share the
    file, and not at all while one of them keeps it.
    """

    versions: tuple[str, ...]
    freed_bytes: int
    run_folders: int


def to_prune(
    rows: Sequence[VersionRow], protected: set[int], settings: ProjectSettings
) -> list[VersionRow]:
    """The versions that go: what is beyond ``keep_versions`` and ``keep_bytes``.

    Kept first are the protected ones, whatever they take, then the newest of those that served or
    may yet, then the newest of those the gate refused. The first that does not fit and all after it
    go, so that an older version never outlives a newer one of its kind.

    Args:
        rows: All versions of a project.
        protected: Ids that never go.
        settings: ``keep_versions`` and ``keep_bytes``.
    """
    held = [row for row in rows if row.pruned_at is None]
    ranked = sorted(
        held,
        key=lambda row: (
            row.id not in protected,
            row.status == VersionStatus.REJECTED,
            -row.id,
        ),
    )
    kept_bytes = 0
    for n, row in enumerate(ranked):
        kept_bytes += row.size_bytes
        is_over = n >= settings.keep_versions or (
            settings.keep_bytes is not None and kept_bytes > settings.keep_bytes
        )
        if row.id not in protected and is_over:
            return ranked[n:]
    return []


def prune(context: AppContext, project_id: int, *, dry_run: bool = False) -> PruneReport:
    """Applies the project's retention. Can be repeated; a crash halfway is made up for.

    Never touched: the champion, the version before it, pinned ones, what an active run of any
    project starts from, and folders of active runs.
    A pruned version keeps its row, manifest, metrics and settings; only its weights go. Runs that
    are over lose their checkpoints (a version has its own) and, beyond the newest
    ``KEPT_RUN_LOGS``, their folders.

    Args:
        context: The process's context.
        project_id: A connected project.
        dry_run: Only say what would go.
    """
    with context.store.begin() as session:
        settings = projects.get(session, project_id).settings
        rows = versions.versions_of(session, project_id)
        for row in rows:
            if row.size_bytes == 0 and row.pruned_at is None:
                # A version of before sizes were kept.
                row.size_bytes = size_bytes(Path(row.path))
        going = to_prune(rows, protected_ids(session, project_id), settings)
        if not dry_run:
            for row in going:
                row.pruned_at = clock.now()
        # Those pruned before too: the process may have ended between the ledger and the files.
        pruned = [row.path for row in rows if row.pruned_at is not None]
        report_names = tuple(row.name for row in going)
        going_paths = [Path(row.path) for row in going]
        over = _numbers_of_runs_over(session, project_id)
    if dry_run:
        workspace = context.workspace(project_id)
        of_runs = [workspace.run_dir(number) for number in over]
        n_folders = sum(folder.exists() for folder in of_runs[KEPT_RUN_LOGS:])
        return PruneReport(report_names, bytes_only_in([*going_paths, *of_runs]), n_folders)
    folders, freed = _free_runs(context, project_id, over)
    # Files of a run go first: a checkpoint's space is free when the last of its links is gone.
    removed = sum(remove_weights(Path(path)) for path in pruned)
    if report_names:
        logger.info("Project %d: pruned %s.", project_id, ", ".join(report_names))
    return PruneReport(report_names, removed + freed, folders)


def prune_quietly(context: AppContext, project_id: int) -> None:
    """``prune`` as a step of the loop: files that can't be removed are no reason to stop it."""
    try:
        prune(context, project_id)
    except OSError:
        logger.warning("Project %d: old versions could not be pruned.", project_id, exc_info=True)


def protected_ids(session: Session, project_id: int) -> set[int]:
    """Ids of the versions that are never pruned.

    Champion, the one before it, pinned ones, those that an active run was told to start from, and
    those whose weights the folds of the project's own run start from: it may be paused for weeks.
    """
    rows = versions.versions_of(session, project_id)
    starts = {run.settings.start_from for run in runs.active_runs(session)}
    found = {row.id for row in rows if row.is_pinned or row.path in starts}
    run = runs.active_run(session, project_id)
    names = {start.version for start in run.manifest.starts} if run and run.manifest else set()
    for name in names - {""}:
        # A version that was pruned may live on in an ensemble.
        found |= {
            row.id for row in rows if row.name == name or (Path(row.path) / MEMBERS / name).is_dir()
        }
    for row in (versions.champion(session, project_id), versions.predecessor(session, project_id)):
        if row is not None:
            found.add(row.id)
    return found


def _numbers_of_runs_over(session: Session, project_id: int) -> list[int]:
    """Numbers of the runs that nothing more happens to, newest first."""
    query = select(RunRow.number).where(
        RunRow.project_id == project_id, RunRow.status.in_(RUN.final)
    )
    return list(session.scalars(query.order_by(RunRow.number.desc())))


def _free_runs(context: AppContext, project_id: int, numbers: Sequence[int]) -> tuple[int, int]:
    workspace = context.workspace(project_id)
    folders = freed = 0
    for n, number in enumerate(numbers):
        folder = workspace.run_dir(number)
        if not folder.exists():
            continue
        freed += bytes_only_in([folder])
        if n < KEPT_RUN_LOGS:
            remove_weights(folder)
        else:
            shutil.rmtree(folder)
            folders += 1
    return folders, freed


def bytes_only_in(folders: Sequence[Path]) -> int:
    """Bytes of the checkpoints that are in these folders and nowhere else."""
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for folder in folders:
        for path in folder.rglob("*.pth"):
            stat = path.stat()
            _, n, _ = found.get((stat.st_dev, stat.st_ino), (0, 0, 0))
            found[(stat.st_dev, stat.st_ino)] = (stat.st_size, n + 1, stat.st_nlink)
    return sum(size for size, n, links in found.values() if n >= links)

"""Files of the data folder that nobody asks for any more."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.models import RunRow
from domain.states import RUN
from training.folds.spec import LOG

logger = logging.getLogger(__name__)

_DAY_S = 86_400.0

_DRAFTS = (".packing-*", ".importing-*")
"""Versions in the making, below ``models``: what is left of one is a killed worker's."""


def forget_files(context: AppContext, now: float) -> int:
    """Deletes logs that are too old, and what killed workers have left of versions; how many.

    What can't be deleted is left for the next time.
    """
    n = 0
    for path in [*_old_logs(context, now), *_old_drafts(context, now)]:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            logger.debug("%s could not be deleted: %s", path, error.strerror)
        else:
            n += 1
    return n


def _old_logs(context: AppContext, now: float) -> Iterator[Path]:
    before = now - context.settings.log_days * _DAY_S
    yield from _older((context.settings.data_dir / "logs").glob("*.log*"), before)
    with context.store.read() as session:
        active = session.execute(
            select(RunRow.project_id, RunRow.number).where(RunRow.status.in_(RUN.active))
        )
        at_work = {(project_id, str(number)) for project_id, number in active}
        ids = projects.all_ids(session)
    for project_id in ids:
        runs = context.workspace(project_id).folder / "runs"
        for path in _older(runs.glob(f"*/fold_*/{LOG}"), before):
            if (project_id, path.parents[1].name) not in at_work:
                yield path


def _old_drafts(context: AppContext, now: float) -> Iterator[Path]:
    with context.store.read() as session:
        ids = projects.all_ids(session)
    for project_id in ids:
        for pattern in _DRAFTS:
            yield from _older(context.workspace(project_id).models.glob(pattern), now - _DAY_S)


def _older(paths: Iterator[Path], before: float) -> Iterator[Path]:
    for path in paths:
        try:
            is_old = path.stat().st_mtime < before
        except OSError:  # gone meanwhile
            continue
        if is_old:
            yield path

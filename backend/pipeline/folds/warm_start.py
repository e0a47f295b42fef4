"""Which weights of the champion a fold may start from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.store import projects, runs, versions
from backend.store.models import RunRow, VersionRow
from converters.bookkeeping.files import read_json
from domain.errors import PredictionError
from training.folds.spec import FINAL
from training.versions.version_folder import CONFIGURATION, PLANS, member_dirs, read_version
from training.workspace import Workspace

logger = logging.getLogger(__name__)


def warm_start_of(session: Session, workspace: Workspace, run: RunRow, fold: int) -> str | None:
    """The champion's checkpoint of the same fold, unless it has seen what this fold holds out.

    Of an ensemble the member that was trained with the plans the run trains with; among several the
    one with the run's trainer. Without such a member the fold starts from scratch, and the log
    says so.
    """
    if not run.settings.warm_start or run.manifest is None:
        return None
    champion = versions.champion(session, run.project_id)
    if champion is None:
        return None
    folder: Path | None = Path(champion.path)
    source: VersionRow | None = champion
    if champion.metrics.ensemble:
        folder = _member_with_the_plans(champion, workspace, run)
        if folder is None:
            logger.info(
                "Run %d, fold %d starts from scratch: no member of %s has the plans it trains "
                "with.",
                run.id,
                fold,
                champion.name,
            )
            return None
        found = versions.by_name(session, folder.name, run.project_id)
        source = found[0] if found else None
    if source is None or source.run_id is None or folder is None:
        return None  # nobody can tell what an imported one has seen
    old, new = versions.manifest_of(session, source), run.manifest
    if old is None:
        return None
    held_out = {entry.group for entry in new.entries if entry.fold == fold}
    trained_on = {entry.group for entry in old.entries if entry.fold != fold}
    checkpoint = folder / f"fold_{fold}" / FINAL
    names = label_names_of(projects.get(session, run.project_id))
    same_classes = names.current_names(old.class_values) == names.current_names(new.class_values)
    if held_out & trained_on or not same_classes or not checkpoint.exists():
        return None
    return str(checkpoint)


def _member_with_the_plans(champion: VersionRow, workspace: Workspace, run: RunRow) -> Path | None:
    try:
        info = read_version(Path(champion.path))
    except PredictionError:
        return None  # its folder is gone
    wanted = _network(workspace.preprocessed_dataset / PLANS)
    alike = [
        folder
        for folder in member_dirs(Path(champion.path), info)
        if wanted is not None and _network(folder / PLANS) == wanted
    ]
    trainer = runs.manifest_of(run).preset.trainer
    same_trainer = [folder for folder in alike if read_version(folder).preset.trainer == trainer]
    return next(iter([*same_trainer, *alike]), None)


def _network(plans: Path) -> Any:
    """What plans say of network, patch and pixel size; None where they can't be read.

    The batch is left out: it may have been halved for want of memory.
    """
    try:
        configuration = read_json(plans)["configurations"][CONFIGURATION]
        return [configuration[key] for key in ("architecture", "patch_size", "spacing")]
    except (OSError, ValueError, KeyError, TypeError):
        return None

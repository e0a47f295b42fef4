"""How the folds of a run start: their seeds, and which of the champion's weights they may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.lineage import seen_of_fold
from backend.pipeline.folds.elsewhere import Starts, fresh_note, starts_elsewhere
from backend.pipeline.folds.held_out import why_unfit
from backend.store import projects
from backend.store.models import RunRow, VersionRow
from backend.store.training import runs, versions
from converters.bookkeeping.files import read_json
from domain.errors import PredictionError
from training.folds.seeds import fold_seed
from training.folds.spec import FINAL
from training.versions.lineage import handed_down
from training.versions.manifests import FoldStart
from training.versions.version_folder import (
    CONFIGURATION,
    MEMBERS,
    PLANS,
    member_dirs,
    read_version,
)
from training.workspace import Workspace


def choose_starts(
    session: Session, workspace: Workspace, run: RunRow, folds: Sequence[int]
) -> Starts:
    """Where each fold of a run starts: at the same fold of the champion, or at fresh weights.

    At the champion's only where nothing that these weights have been trained on, back to fresh
    ones, is held out by the fold, nor shares a group with what is. What can't be told counts as
    seen. Of an ensemble the member that was trained with the plans the run trains with; among
    several the one with the run's trainer.

    Args:
        session: Of the store.
        workspace: The project's; its plans are those of the run.
        run: With its manifest.
        folds: Those that are to be trained: the note is about them.
    """
    manifest = runs.manifest_of(run)
    seeds = [fold_seed(run.settings.seed, run.number, fold) for fold in range(manifest.n_folds)]
    fresh = tuple(FoldStart(seed=seed) for seed in seeds)
    if run.settings.start_from:
        return starts_elsewhere(session, run)
    champion = versions.champion(session, run.project_id)
    if not run.settings.warm_start or champion is None:
        return Starts(fresh)
    source = _source(session, champion, workspace, run)
    if isinstance(source, str):
        return Starts(fresh, f"All folds start from fresh weights: {source}.")
    starts, why = list(fresh), dict[str, list[int]]()
    for fold in folds:
        found = _start_of(session, source, run, fold)
        if isinstance(found, str):
            why.setdefault(found, []).append(fold)
        else:
            starts[fold] = found
    return Starts(tuple(starts), fresh_note(why, folds))


def checkpoint_of(session: Session, run: RunRow, start: FoldStart) -> Path | None:
    """The file a fold starts from; None for fresh weights, and where it is gone by now.

    A version that was pruned may live on in an ensemble.
    """
    if start.path:
        return Path(start.path) if Path(start.path).exists() else None
    if not start.version:
        return None
    rows = versions.versions_of(session, run.project_id)
    folders = [Path(row.path) for row in rows if row.name == start.version]
    folders += [Path(row.path) / MEMBERS / start.version for row in rows if row.metrics.ensemble]
    files = [folder / f"fold_{start.fold}" / FINAL for folder in folders]
    return next((file for file in files if file.exists()), None)


def _source(
    session: Session, champion: VersionRow, workspace: Workspace, run: RunRow
) -> VersionRow | str:
    """The version to start from, or why there is none."""
    source: VersionRow | None = champion
    if champion.metrics.ensemble:
        name = _member_with_the_plans(champion, workspace, run)
        if name is None:
            return f"no member of {champion.name} has the plans of this run"
        source = next(iter(versions.by_name(session, name, run.project_id)), None)
    old = versions.manifest_of(session, source) if source is not None else None
    if source is None or source.run_id is None or old is None:
        name = source.name if source is not None else champion.name
        return f"{name} was trained elsewhere, and nobody can tell what it has seen"
    names = label_names_of(projects.get(session, run.project_id))
    new = runs.manifest_of(run)
    if names.current_names(old.class_values) != names.current_names(new.class_values):
        return f"{source.name} knows other labels"
    return source


def _start_of(session: Session, source: VersionRow, run: RunRow, fold: int) -> FoldStart | str:
    """How a fold starts at a version's, or why it may not."""
    manifest = runs.manifest_of(run)
    start = FoldStart(
        seed=fold_seed(run.settings.seed, run.number, fold), version=source.name, fold=fold
    )
    if checkpoint_of(session, run, start) is None:
        return f"{source.name} has no weights of this fold"
    seen = seen_of_fold(session, source, fold)
    if seen is None:
        return f"nobody can tell what this fold of {source.name} has seen"
    if why := why_unfit(session, run, fold, source.name, seen):
        return why
    return replace(start, seen=handed_down(seen, manifest, fold))


def _member_with_the_plans(champion: VersionRow, workspace: Workspace, run: RunRow) -> str | None:
    """Name of the ensemble's member to start from."""
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
    found = next(iter([*same_trainer, *alike]), None)
    return None if found is None else found.name


def _network(plans: Path) -> Any:
    """What plans say of network, patch and pixel size; None where they can't be read.

    The batch is left out: it may have been halved for want of memory.
    """
    try:
        configuration = read_json(plans)["configurations"][CONFIGURATION]
        return [configuration[key] for key in ("architecture", "patch_size", "spacing")]
    except (OSError, ValueError, KeyError, TypeError):
        return None

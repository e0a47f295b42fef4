"""Starts at a model that a person has named: imported, another project's, or an older version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.lineage import seen_of_fold
from backend.pipeline.folds.held_out import why_unfit
from backend.store import projects
from backend.store.models import RunRow, VersionRow
from backend.store.training import runs, versions
from domain.errors import PredictionError
from training.folds.seeds import fold_seed
from training.folds.spec import FINAL
from training.versions.lineage import handed_down
from training.versions.manifests import FoldStart
from training.versions.version_folder import read_version


@dataclass(frozen=True, slots=True)
class Starts:
    """How the folds of a run start; ``note`` says why which start from fresh weights, "" or not."""

    of_folds: tuple[FoldStart, ...]
    note: str = ""


def starts_elsewhere(session: Session, run: RunRow) -> Starts:
    """Every fold starts at the model of ``start_from``, at its fold of the same number if it can.

    What an older version of the project has seen is known and goes down the lineage: a fold that
    holds some of it out starts from fresh weights. What any other model has seen is not known, and
    the folds are judges of nothing for certain.
    """
    manifest, folder = runs.manifest_of(run), Path(run.settings.start_from)
    seeds = [fold_seed(run.settings.seed, run.number, fold) for fold in range(manifest.n_folds)]
    try:
        info = read_version(folder)
    except PredictionError as error:
        fresh = tuple(FoldStart(seed=seed) for seed in seeds)
        return Starts(fresh, f"All folds start from fresh weights: {error}")
    names = label_names_of(projects.get(session, run.project_id))
    head = head_of(
        names.current_names(manifest.class_values),
        info.class_values,
        {theirs: names.now(ours) or ours for theirs, ours in run.settings.start_map.items()},
    )
    row = _own_version(session, run.project_id, folder)
    starts, why = list[FoldStart](), dict[str, list[int]]()
    for fold, seed in enumerate(seeds):
        theirs = fold if fold in info.folds else info.folds[fold % len(info.folds)]
        file = folder / f"fold_{theirs}" / FINAL
        seen = None if row is None else seen_of_fold(session, row, theirs)
        unfit = None if seen is None else why_unfit(session, run, fold, info.name, seen)
        if not file.exists():
            unfit = f"the weights of {info.name} are gone"
        if unfit is not None:
            starts.append(FoldStart(seed=seed))
            why.setdefault(unfit, []).append(fold)
            continue
        starts.append(
            FoldStart(
                seed=seed,
                version="" if row is None else row.name,
                fold=theirs,
                path=str(file),
                head=head,
                seen=None if seen is None else handed_down(seen, manifest, fold),
            )
        )
    of_fresh = fresh_note(why, range(len(starts)))
    if not any(start.path for start in starts):
        return Starts(tuple(starts), of_fresh)
    kept = [name for name, k in zip(manifest.class_values, head[1:], strict=True) if k > 0]
    note = f"The folds start from {info.name}"
    note += f", their heads for {', '.join(kept)} too" if kept else ", with fresh heads"
    if any(start.seen is None for start in starts):
        note += (
            "; nobody can tell what it has seen, so the held-out Dice of this version may be too "
            "high"
        )
    return Starts(tuple(starts), f"{note}. {of_fresh}".strip())


def fresh_note(why: Mapping[str, Sequence[int]], folds: Sequence[int]) -> str:
    """The sentence about folds that start from fresh weights; "" without any.

    Args:
        why: Half a sentence -> the folds it is said of.
        folds: All that are to be trained.
    """
    parts = [f"{_folds(numbers, folds)}: {reason}" for reason, numbers in why.items()]
    return f"From fresh weights start {'; '.join(parts)}." if parts else ""


def _folds(numbers: Sequence[int], all_folds: Sequence[int]) -> str:
    if len(numbers) == len(all_folds):
        return "all folds"
    return f"fold {numbers[0]}" if len(numbers) == 1 else f"folds {', '.join(map(str, numbers))}"


def head_of(
    ours: Sequence[str], theirs: Sequence[str], mapping: Mapping[str, str]
) -> tuple[int, ...]:
    """Where each class of a network's head goes on from.

    Args:
        ours: Class names in integer order, without background.
        theirs: Those of the other network.
        mapping: Name of theirs -> name of ours, of all that go on.

    Returns:
        As ``FoldSpec.head``.
    """
    known = {mapping[name]: k for k, name in enumerate(theirs, start=1) if name in mapping}
    return (0, *(known.get(name, -1) for name in ours))


def _own_version(session: Session, project_id: int, folder: Path) -> VersionRow | None:
    rows = versions.versions_of(session, project_id)
    return next((row for row in rows if Path(row.path) == folder), None)

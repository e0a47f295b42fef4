"""The preprocessed dataset: a function of the cases, kept up to date by doing only what changed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from converters.bookkeeping.files import link_or_copy, update_json
from domain.errors import NotEnoughCasesError, TrainingError
from domain.unions import UnionPlan
from training.case_files import CaseFiles
from training.folds.disk import check_free, preprocessed_bytes
from training.folds.splits import held_out_cases, to_splits
from training.nnunet.data.case_pool import CasePool
from training.nnunet.data.index import DatasetIndex, PlannedFor, arrays_folder
from training.nnunet.data.plans import dataset_json, make_plans, preprocessing_key
from training.nnunet.data.preprocessing import (
    BYTES_PER_PIXEL,
    Preprocessing,
    look_at,
    refuse_too_small,
    resampled_hw,
)
from training.presets import Preset
from training.versions.named_plans import plans_hash
from training.workspace import Workspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What all cases of a set have in common, and how it is planned.

    Attributes:
        class_values: Class names in integer order, background left out, at least 1.
        n_channels: At least 1, as the cases were written.
        preset: Decides plans, not how long training takes.
        channels: Names of the images stacked as channels; none for a single image.
        has_ignore: Whether the cases may have ignored pixels, of the integer after the last class.
        unions: What is learned in place of the classes; None: the classes themselves.
    """

    class_values: Sequence[str]
    n_channels: int
    preset: Preset
    channels: Sequence[str] = ()
    has_ignore: bool = False
    unions: UnionPlan | None = None


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    """What ``prepare`` left on disk.

    Attributes:
        n_cases: Cases in the set.
        preprocessed: Case ids preprocessed by this call; the others were up to date.
        removed: Case ids that are no longer in the set.
        planned: Whether plans were made by this call.
        folds: Folds to train: those that hold at least one case out, or the only one.
        held_out: Fold -> case ids it is validated on.
        seconds: Wall-clock time of the call.
        replanned: Why plans were made although there were some; "" when they stayed, or were the
            first.
    """

    n_cases: int
    preprocessed: tuple[str, ...]
    removed: tuple[str, ...]
    planned: bool
    folds: tuple[int, ...]
    held_out: Mapping[int, tuple[str, ...]]
    seconds: float
    replanned: str = ""


def prepare(
    workspace: Workspace,
    cases: Sequence[CaseFiles],
    folds: Mapping[str, int],
    spec: DatasetSpec,
    *,
    replan: bool = False,
    beat: Callable[[], None] = lambda: None,
) -> PreparedDataset:
    """Makes the preprocessed dataset equal to ``cases``.

    Only new and changed cases (by content hash) are read and preprocessed: in this process, or in
    several when they are many. Plans stay frozen until classes, channels or the preset's plan
    change, or the set outgrows them (``training.nnunet.data.index``), or on request; arrays
    that new plans leave as they are stay too.

    With a single fold that fold trains on everything: nothing is held out, and its validation cases
    are its training cases.

    Args:
        workspace: The project. One call at a time.
        cases: The training set, written by ``training.case_files.write_case``.
        folds: Case id -> fold, for every case (the manifest's).
        spec: What the cases have in common.
        replan: Make new plans in any case.
        beat: Called between cases; what it raises ends the call, and what is done is kept.

    Raises:
        NotEnoughCasesError: There is no case, or several folds of which all but one are empty.
        CaseError: A case holds an integer that is no class, its files don't fit together, or it is
            too small; leave it out and call again.
        TrainingError: No case has a labelled pixel, the disk is too full, or the preset's planner
            or plans can't be used.
        SettingsError: There are no plans of the preset's name.
    """
    started = time.monotonic()
    if not cases:
        raise NotEnoughCasesError(
            "Training needs at least 1 labelled image, got 0.", remedy="Label images."
        )
    held_out = held_out_cases({case.case_id: folds[case.case_id] for case in cases})
    dataset = dataset_json(
        spec.class_values,
        spec.n_channels,
        len(cases),
        spec.channels,
        has_ignore=spec.has_ignore,
        unions=spec.unions,
    )
    index, reason = DatasetIndex.load(workspace, _key(workspace, spec, dataset))
    removed = index.keep_only(workspace, {case.case_id for case in cases})
    with CasePool(beat) as pool:
        _look_at_new(index, cases, spec, pool)
        if not any(index.cases[case.case_id].has_foreground for case in cases):
            raise TrainingError(
                f"None of the {len(cases)} training images has a labelled pixel.",
                remedy="Label at least one image that shows one of the classes.",
            )
        update_json(workspace.raw_dataset / "dataset.json", dataset | _listing(cases))
        now = PlannedFor.of(index.cases[case.case_id] for case in cases)
        # Named plans fit whatever there is: their user has said so.
        if index.plans is not None and index.planned_for is not None and spec.preset.plans is None:
            reason = index.planned_for.outgrown_by(now) or ("asked for" if replan else "")
        planned = index.plans is None or bool(reason)
        if planned:
            if reason:
                logger.info("Project %d: new plans, %s.", workspace.project_id, reason)
            index.plans = make_plans(workspace, cases, spec.preset, pool, _largest_bytes(index))
            index.planned_for = now
        plans: dict[str, Any] = index.plans  # type: ignore[assignment]
        update_json(workspace.preprocessed_dataset / "dataset.json", dataset)
        if index.arrays != preprocessing_key(plans):
            index.forget_arrays(workspace)
            index.arrays = preprocessing_key(plans)
        refuse_too_small(index.cases, plans)
        stale = [case for case in cases if not index.is_current(case)]
        check_free(
            workspace.preprocessed_dataset,
            preprocessed_bytes(
                [resampled_hw(index.cases[case.case_id], plans) for case in stale],
                n_channels=spec.n_channels,
                n_classes=len(spec.class_values),
            ),
        )
        try:
            _preprocess(workspace, stale, plans, dataset, index, pool)
        finally:
            index.save(workspace)
    update_json(workspace.preprocessed_dataset / "splits_final.json", to_splits(held_out))
    return PreparedDataset(
        n_cases=len(cases),
        preprocessed=tuple(case.case_id for case in stale),
        removed=removed,
        planned=planned,
        folds=tuple(fold for fold, held in sorted(held_out.items()) if held),
        held_out=held_out,
        seconds=time.monotonic() - started,
        replanned=reason,
    )


def _key(workspace: Workspace, spec: DatasetSpec, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Every entry is named as a person would say what changed."""
    key: dict[str, Any] = {
        "classes": list(spec.class_values),
        "channels": list(dataset["channel_names"].values()),
        "the preset's plan": [spec.preset.plan_key, plans_hash(workspace, spec.preset.plans)],
        "nnU-Net's version": _nnunet_version(),
    }
    if spec.has_ignore:  # nnU-Net lists the pixels that are not ignored with each case
        key["the ignore label"] = True
    if spec.unions is not None:
        key["class unions"] = [[*t.members, t.paints] for t in spec.unions.targets]
    return key


@cache
def _nnunet_version() -> str:
    return version("nnunetv2")


def _look_at_new(
    index: DatasetIndex, cases: Sequence[CaseFiles], spec: DatasetSpec, pool: CasePool
) -> None:
    new = [case for case in cases if not index.is_current(case)]
    work = partial(
        look_at,
        n_classes=len(spec.class_values),
        n_channels=spec.n_channels,
        has_ignore=spec.has_ignore,
    )
    # Sizes are not known yet: as large as the file, were it not compressed, is a safe start.
    largest = max((_file_bytes(case) for case in new), default=0)
    for position, facts in pool.map(work, new, largest):
        index.cases[new[position].case_id] = facts


def _file_bytes(case: CaseFiles) -> int:
    return sum(path.stat().st_size for path in case.image_pngs if path.exists()) * 10


def _largest_bytes(index: DatasetIndex) -> int:
    return max(facts.height * facts.width for facts in index.cases.values()) * BYTES_PER_PIXEL


def _preprocess(
    workspace: Workspace,
    cases: Sequence[CaseFiles],
    plans: dict[str, Any],
    dataset: dict[str, Any],
    index: DatasetIndex,
    pool: CasePool,
) -> None:
    folder = arrays_folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        index.cases[case.case_id] = replace(index.cases[case.case_id], content_hash="")
    # Forgotten on disk first: a case interrupted halfway is then done again, whatever it becomes.
    index.save(workspace)
    work = Preprocessing(folder, json.dumps(plans), json.dumps(dataset))
    for position, _ in pool.map(work, cases, _largest_bytes(index)):
        case = cases[position]
        link_or_copy(case.label_png, workspace.truth_png(case.case_id))
        index.cases[case.case_id] = replace(
            index.cases[case.case_id], content_hash=case.content_hash
        )


def _listing(cases: Sequence[CaseFiles]) -> dict[str, Any]:
    """The cases by name: without it nnU-Net looks for them with a pool of 12 forked processes."""
    return {
        "dataset": {
            case.case_id: {
                "images": ["/".join(path.parts[-2:]) for path in case.image_pngs],
                "label": "/".join(case.label_png.parts[-2:]),
            }
            for case in cases
        }
    }

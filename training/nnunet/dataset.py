"""The preprocessed dataset: a function of the cases, kept up to date by doing only what changed."""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.files import read_json, write_json
from domain.case import content_hash
from domain.errors import NotEnoughCasesError, TrainingError
from training.cases import CaseFiles, read_image
from training.nnunet.plans import CONFIGURATION, dataset_json, make_plans
from training.presets import Preset
from training.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    """What ``prepare`` left on disk.

    Attributes:
        n_cases: Cases in the set.
        preprocessed: Case ids preprocessed by this call; the others were up to date.
        removed: Case ids that are no longer in the set.
        planned: Whether plans were made by this call.
        folds: Folds to train: those that hold at least one case out.
        held_out: Fold -> case ids it is validated on.
        seconds: Wall-clock time of the call.
    """

    n_cases: int
    preprocessed: tuple[str, ...]
    removed: tuple[str, ...]
    planned: bool
    folds: tuple[int, ...]
    held_out: Mapping[int, tuple[str, ...]]
    seconds: float


def prepare(
    workspace: Workspace,
    cases: Sequence[CaseFiles],
    folds: Mapping[str, int],
    *,
    class_values: Sequence[str],
    n_channels: int,
    preset: Preset,
) -> PreparedDataset:
    """Makes the preprocessed dataset equal to ``cases``.

    Only new and changed cases (by content hash) are preprocessed, in this process. Plans stay
    frozen until classes, channels or the preset's plan change; then everything is done again.
    A single case can't be trained on: nothing would be held out to judge the model by.

    Args:
        workspace: The project. One call at a time.
        cases: The training set, written by ``training.cases.write_case``.
        folds: Case id -> fold, for every case (the manifest's).
        class_values: Class names in integer order, background left out, at least 1.
        n_channels: 1 or 3, as the cases were written.
        preset: Decides plans, not how long training takes.

    Raises:
        NotEnoughCasesError: Fewer than 2 cases, or all of them in one fold.
        TrainingError: No case has a labelled pixel, a case holds an integer that is no class, or
            its files don't fit together; the message names the case.
    """
    started = time.monotonic()
    held_out = _held_out(cases, folds)
    dataset = dataset_json(class_values, n_channels, len(cases))
    key = content_hash(
        [list(class_values), n_channels, preset.plan_key, preset.name == "full", _nnunet()]
    )
    index = _Index.load(workspace, key)
    wanted = {case.case_id: case for case in cases}
    removed = index.keep_only(workspace, set(wanted))
    stale = [case for case in cases if index.hashes.get(case.case_id) != case.content_hash]
    checked = {case.case_id: _check(case, len(class_values), n_channels) for case in stale}
    if not any(checked.get(c.case_id, index.foreground.get(c.case_id)) for c in cases):
        raise TrainingError(
            f"None of the {len(cases)} training images has a labelled pixel.",
            remedy="Label at least one image that shows one of the classes.",
        )
    write_json(workspace.raw_dataset / "dataset.json", dataset)
    write_json(workspace.preprocessed_dataset / "dataset.json", dataset)
    planned = index.plans is None
    plans = make_plans(workspace, cases, preset) if index.plans is None else index.plans
    try:
        _preprocess(workspace, stale, plans, dataset, checked, index)
    finally:
        index.save(workspace)
    _write_splits(workspace, held_out)
    return PreparedDataset(
        n_cases=len(cases),
        preprocessed=tuple(case.case_id for case in stale),
        removed=removed,
        planned=planned,
        folds=tuple(fold for fold, held in sorted(held_out.items()) if held),
        held_out=held_out,
        seconds=time.monotonic() - started,
    )


class _Index:
    """Which cases are preprocessed, by content hash: index.json beside the arrays."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.hashes: dict[str, str] = {}
        self.foreground: dict[str, bool] = {}
        self.plans: dict[str, Any] | None = None

    @classmethod
    def load(cls, workspace: Workspace, key: str) -> _Index:
        """The index on disk if it was made under the same key; else an empty one, folder wiped."""
        index = cls(key)
        folder = workspace.preprocessed_dataset
        path = folder / "index.json"
        saved = read_json(path) if path.exists() else {}
        if saved.get("key") == key and (folder / "plans.json").exists():
            index.hashes, index.foreground = saved["hashes"], saved["foreground"]
            index.plans = read_json(folder / "plans.json")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        return index

    def keep_only(self, workspace: Workspace, case_ids: set[str]) -> tuple[str, ...]:
        """Forgets every other case and removes its files, raw and preprocessed."""
        on_disk = {path.stem for path in workspace.label_png("x").parent.glob("*.png")}
        removed = sorted((on_disk | self.hashes.keys()) - case_ids)
        for case_id in removed:
            self.hashes.pop(case_id, None)
            self.foreground.pop(case_id, None)
            workspace.image_png(case_id).unlink(missing_ok=True)
            workspace.label_png(case_id).unlink(missing_ok=True)
            _remove_arrays(arrays_folder(workspace), case_id)
        return tuple(removed)

    def save(self, workspace: Workspace) -> None:
        write_json(
            workspace.preprocessed_dataset / "index.json",
            {"key": self.key, "hashes": self.hashes, "foreground": self.foreground},
        )


def arrays_folder(workspace: Workspace) -> Path:
    """Where the preprocessed arrays of a project lie."""
    return workspace.preprocessed_dataset / f"nnUNetPlans_{CONFIGURATION}"


def _held_out(cases: Sequence[CaseFiles], folds: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    if len(cases) < 2:
        raise NotEnoughCasesError(
            f"Training needs at least 2 labelled images, got {len(cases)}.",
            remedy="Label more images.",
        )
    n_folds = max(folds[case.case_id] for case in cases) + 1
    held = {
        k: tuple(sorted(case.case_id for case in cases if folds[case.case_id] == k))
        for k in range(n_folds)
    }
    if sum(1 for case_ids in held.values() if case_ids) < 2:
        raise NotEnoughCasesError(
            f"All {len(cases)} labelled images are in one fold, so nothing is left to train on.",
            remedy="Label images of another group (patient, video or site).",
        )
    return held


def _check(case: CaseFiles, n_classes: int, n_channels: int) -> bool:
    """Whether a case has foreground; raises where nnU-Net would fail late or not at all."""
    image, labels = read_image(case.image_png), read_image(case.label_png)
    found = image.shape[2] if image.ndim == 3 else 1
    if found != n_channels:
        raise TrainingError(
            f"Case {case.case_id}: the image has {found} channels, the project {n_channels}.",
            remedy="Write every case with the same number of channels.",
        )
    if labels.ndim != 2 or labels.shape != image.shape[:2]:
        raise TrainingError(
            f"Case {case.case_id}: the label map has shape {labels.shape}, "
            f"the image {image.shape[:2]}.",
            remedy="Write label map and image at the same size, the label map in grey.",
        )
    highest = int(labels.max())
    if highest > n_classes:
        raise TrainingError(
            f"Case {case.case_id}: the label map holds {highest}, but there are "
            f"{n_classes} classes.",
            remedy="Convert the annotation again with the project's present classes.",
        )
    return bool(np.any(labels))


def _preprocess(
    workspace: Workspace,
    cases: Sequence[CaseFiles],
    plans: dict[str, Any],
    dataset: dict[str, Any],
    foreground: Mapping[str, bool],
    index: _Index,
) -> None:
    manager = PlansManager(plans)
    configuration = manager.get_configuration(CONFIGURATION)
    preprocessor = configuration.preprocessor_class(verbose=False)
    folder = arrays_folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        index.hashes.pop(case.case_id, None)
    # Forgotten on disk first: a case interrupted halfway is then done again, whatever it becomes.
    index.save(workspace)
    for case in cases:
        _remove_arrays(folder, case.case_id)
        with contextlib.redirect_stdout(io.StringIO()):
            preprocessor.run_case_save(
                str(folder / case.case_id),
                [str(case.image_png)],
                str(case.label_png),
                manager,
                configuration,
                dataset,
            )
        index.hashes[case.case_id] = case.content_hash
        index.foreground[case.case_id] = foreground[case.case_id]


def _write_splits(workspace: Workspace, held_out: Mapping[int, tuple[str, ...]]) -> None:
    everything = {case_id for held in held_out.values() for case_id in held}
    splits = [
        {"train": sorted(everything - set(held_out[k])), "val": list(held_out[k])}
        for k in sorted(held_out)
    ]
    write_json(workspace.preprocessed_dataset / "splits_final.json", splits)


def _remove_arrays(folder: Path, case_id: str) -> None:
    for name in (f"{case_id}.b2nd", f"{case_id}_seg.b2nd", f"{case_id}.pkl"):
        (folder / name).unlink(missing_ok=True)


def _nnunet() -> str:
    return version("nnunetv2")

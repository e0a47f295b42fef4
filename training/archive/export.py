"""Writes a version as nnU-Net's own model zip."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.files import read_json, replace_with
from domain.errors import PredictionError
from training.folds import FINAL, RESULT
from training.versions import (
    CONFIGURATION,
    CURVES,
    DATASET,
    FINGERPRINT,
    MANIFEST,
    PLANS,
    POSTPROCESSING,
    POSTPROCESSING_PKL,
    VersionInfo,
    read_version,
)

_TRAINER = "nnUNetTrainer"
_DATASET_NAME = re.compile(r"Dataset\d{3}_[A-Za-z0-9_-]+")
_WITH_A_MEANING = ("background", "ignore")


@dataclass(frozen=True, slots=True)
class WrittenArchive:
    """A zip, and what nnU-Net's commands need to be told to use it.

    ``folds`` are nnU-Net's names of the folds: numbers, or ``all``.
    """

    path: Path
    dataset_name: str
    plans_name: str
    folds: tuple[str, ...]

    @property
    def commands(self) -> tuple[str, str]:
        """nnU-Net's commands that install the model and predict with it."""
        return (
            f"nnUNetv2_install_pretrained_model_from_zip {self.path}",
            f"nnUNetv2_predict -i IMAGES -o PREDICTIONS -d {self.dataset_name} "
            f"-p {self.plans_name} -c {CONFIGURATION} -f {' '.join(self.folds)}",
        )


def dataset_name_of(number: int, title: str) -> str:
    """nnU-Net's name of a data set: ``Dataset007_Carotid``.

    Args:
        number: 1 to 999; larger ones are reduced to it, as nnU-Net's names have 3 digits.
        title: Any text; what a folder's name can't hold is left out.
    """
    word = re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_")[:40] or "nnloop"
    return f"Dataset{(number - 1) % 999 + 1:03d}_{word}"


def write_archive(version_dir: Path, file: Path, dataset_name: str) -> WrittenArchive:
    """Writes what ``nnUNetv2_export_model_to_zip`` would for a version.

    ``nnUNetv2_install_pretrained_model_from_zip`` and ``nnUNetv2_predict`` work with it. The
    classes get their own names back: in the version they carry their integer in front, because
    nnU-Net gives some names a meaning.

    Args:
        version_dir: The version's folder.
        file: The zip to write; appears whole or not at all.
        dataset_name: ``Dataset<3 digits>_<name>``; the folder nnU-Net installs it to.

    Raises:
        PredictionError: The version was pruned or its folder is broken.
        ValueError: ``dataset_name`` is no such name.
    """
    if not _DATASET_NAME.fullmatch(dataset_name):
        raise ValueError(f"not a name of an nnU-Net data set: {dataset_name!r}")
    info = read_version(version_dir)
    missing = [k for k in info.folds if not (version_dir / f"fold_{k}" / FINAL).exists()]
    if missing:
        raise PredictionError(
            f"{info.name} has no weights of fold {missing[0]} any more: it was pruned.",
            remedy="Export a version that is not pruned (`nnloop models list`).",
        )
    plans = read_json(version_dir / PLANS)
    plans_name = str(plans.get("plans_name", "nnUNetPlans"))
    names = _fold_names(version_dir, info)
    root = f"{dataset_name}/{_TRAINER}__{plans_name}__{CONFIGURATION}"

    def write(temporary: Path) -> None:
        # Weights hardly compress: deflating them takes minutes and saves a tenth.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.write(version_dir / PLANS, f"{root}/{PLANS}")
            archive.writestr(f"{root}/{DATASET}", json.dumps(_dataset(version_dir, info), indent=1))
            if (version_dir / FINGERPRINT).exists():
                archive.write(version_dir / FINGERPRINT, f"{root}/{FINGERPRINT}")
            results = f"{root}/crossval_results_folds_{'_'.join(names.values())}"
            for name in (POSTPROCESSING, POSTPROCESSING_PKL):
                if (version_dir / name).exists():
                    archive.write(version_dir / name, f"{results}/{name}")
            for fold, name in names.items():
                folder = version_dir / f"fold_{fold}"
                archive.write(folder / FINAL, f"{root}/fold_{name}/{FINAL}")
                if (folder / CURVES).exists():
                    archive.write(folder / CURVES, f"{root}/fold_{name}/progress.png")
                for summary in _summary(folder, info):
                    text = json.dumps(summary, indent=1)
                    archive.writestr(f"{root}/fold_{name}/validation/summary.json", text)

    replace_with(file, write)
    return WrittenArchive(file, dataset_name, plans_name, tuple(names.values()))


def _fold_names(version_dir: Path, info: VersionInfo) -> dict[int, str]:
    manifest = version_dir / MANIFEST
    n_folds = read_json(manifest).get("n_folds", 0) if manifest.exists() else 0
    if n_folds == 1:
        # Trained on every case: nnU-Net's word for that is 'all'.
        return dict.fromkeys(info.folds, "all")
    return {fold: str(fold) for fold in info.folds}


def _dataset(version_dir: Path, info: VersionInfo) -> dict[str, Any]:
    dataset: dict[str, Any] = read_json(version_dir / DATASET)
    prefixed = {f"{k}_{value}": value for k, value in enumerate(info.class_values, start=1)}
    labels = {}
    for name, integer in dataset["labels"].items():
        own = prefixed.get(name, name)
        labels[name if own in _WITH_A_MEANING else own] = integer
    return {**dataset, "labels": labels}


def _summary(folder: Path, info: VersionInfo) -> Iterator[dict[str, Any]]:
    """nnU-Net's validation/summary.json of a fold, of the Dice that was measured; none without."""
    result = read_json(folder / RESULT) if (folder / RESULT).exists() else {}
    dice: dict[str, float] = result.get("dice_per_class", {})
    if not dice:
        return
    integers = {value: str(k) for k, value in enumerate(info.class_values, start=1)}
    yield {
        "foreground_mean": {"Dice": sum(dice.values()) / len(dice)},
        "mean": {integers[name]: {"Dice": value} for name, value in dice.items()},
        "metric_per_case": [
            {
                "prediction_file": case_id,
                "metrics": {integers[name]: {"Dice": value} for name, value in scores.items()},
            }
            for case_id, scores in result.get("dice_per_case", {}).items()
        ],
    }

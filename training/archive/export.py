"""Writes a version as nnU-Net's own model zip."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.bookkeeping.documents import read_document
from converters.bookkeeping.files import read_json, replace_with
from converters.classes.dataset_unions import CLASSES, IGNORE
from converters.classes.reserved_names import nnunet_labels
from training.dataset_labels import painting_order
from training.evaluation import mean_over_classes
from training.folds.spec import FINAL, RESULT, FoldResult
from training.pretrained import is_named_in
from training.versions.ensembles import check_weights
from training.versions.version_folder import (
    CONFIGURATION,
    CURVES,
    DATASET,
    FINGERPRINT,
    PLANS,
    POSTPROCESSING,
    POSTPROCESSING_PKL,
    VersionInfo,
    member_dirs,
    read_manifest,
    read_version,
)

_TRAINER = "nnUNetTrainer"
_DATASET_NAME = re.compile(r"Dataset\d{3}_[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ArchivedModel:
    """A model in a zip.

    ``folds`` are nnU-Net's names of the folds: numbers, or ``all``; ``needs_nnloop``: the network
    is a class of nnloop.
    """

    plans_name: str
    folds: tuple[str, ...]
    needs_nnloop: bool = False

    @property
    def folder(self) -> str:
        """nnU-Net's name of the model's folder."""
        return f"{_TRAINER}__{self.plans_name}__{CONFIGURATION}"


@dataclass(frozen=True, slots=True)
class WrittenArchive:
    """A zip, and what nnU-Net's commands need to be told to use it.

    Attributes:
        path: The zip.
        dataset_name: nnU-Net's name of the data set.
        models: One, or those of an ensemble's members.
        postprocessing: In the zip, of an ensemble; "" when it has none.
    """

    path: Path
    dataset_name: str
    models: tuple[ArchivedModel, ...]
    postprocessing: str = ""

    @property
    def needs(self) -> str:
        """What must be installed where it is to predict."""
        if any(model.needs_nnloop for model in self.models):
            return "nnU-Net and nnloop, which has the model's network,"
        return "nnU-Net"

    @property
    def commands(self) -> tuple[str, ...]:
        """nnU-Net's commands that install the model or models and predict with them."""
        out = ["PREDICTIONS"]
        if len(self.models) > 1:
            out = [f"PREDICTIONS_{number}" for number in range(1, len(self.models) + 1)]
        options = " --save_probabilities" if len(self.models) > 1 else ""
        commands = [f"nnUNetv2_install_pretrained_model_from_zip {self.path}"]
        commands += [
            f"nnUNetv2_predict -i IMAGES -o {folder} -d {self.dataset_name} "
            f"-p {model.plans_name} -c {CONFIGURATION} -f {' '.join(model.folds)}{options}"
            for folder, model in zip(out, self.models, strict=True)
        ]
        if len(self.models) > 1:
            commands.append(f"nnUNetv2_ensemble -i {' '.join(out)} -o PREDICTIONS -np 1")
        if self.postprocessing:
            commands.append(
                "nnUNetv2_apply_postprocessing -i PREDICTIONS -o PREDICTIONS_PP -np 1 "
                f"-pp_pkl_file $nnUNet_results/{self.postprocessing} "
                f"-plans_json {out[0]}/{PLANS} -dataset_json {out[0]}/{DATASET}"
            )
        return tuple(commands)


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
    nnU-Net gives some names a meaning. The members of an ensemble are as many models in the zip;
    plans of one name get their member's name behind it.

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
    folders = member_dirs(version_dir, info)
    infos = [read_version(folder) for folder in folders]
    for folder, one in zip(folders, infos, strict=True):
        check_weights(folder, one)
    names = _plans_names(folders, infos)
    models = tuple(
        ArchivedModel(
            name, tuple(_fold_names(folder, one).values()), is_named_in(read_json(folder / PLANS))
        )
        for name, folder, one in zip(names, folders, infos, strict=True)
    )
    has_own = bool(info.members) and (version_dir / POSTPROCESSING_PKL).exists()
    ensemble = f"{dataset_name}/ensembles/ensemble___" + "___".join(m.folder for m in models)

    def write(temporary: Path) -> None:
        # Weights hardly compress: deflating them takes minutes and saves a tenth.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for model, folder, one in zip(models, folders, infos, strict=True):
                _write_model(archive, f"{dataset_name}/{model.folder}", model, folder, one)
            if has_own:
                for name in (POSTPROCESSING, POSTPROCESSING_PKL):
                    archive.write(version_dir / name, f"{ensemble}/{name}")

    replace_with(file, write)
    postprocessing = f"{ensemble}/{POSTPROCESSING_PKL}" if has_own else ""
    return WrittenArchive(file, dataset_name, models, postprocessing)


def _write_model(
    archive: zipfile.ZipFile, root: str, model: ArchivedModel, folder: Path, info: VersionInfo
) -> None:
    plans = {**read_json(folder / PLANS), "plans_name": model.plans_name}
    archive.writestr(f"{root}/{PLANS}", json.dumps(plans, indent=1))
    archive.writestr(f"{root}/{DATASET}", json.dumps(_dataset(folder, info), indent=1))
    if (folder / FINGERPRINT).exists():
        archive.write(folder / FINGERPRINT, f"{root}/{FINGERPRINT}")
    results = f"{root}/crossval_results_folds_{'_'.join(model.folds)}"
    for name in (POSTPROCESSING, POSTPROCESSING_PKL):
        if (folder / name).exists():
            archive.write(folder / name, f"{results}/{name}")
    for fold, name in _fold_names(folder, info).items():
        source = folder / f"fold_{fold}"
        archive.write(source / FINAL, f"{root}/fold_{name}/{FINAL}")
        if (source / CURVES).exists():
            archive.write(source / CURVES, f"{root}/fold_{name}/progress.png")
        for summary in _summary(source, info):
            text = json.dumps(summary, indent=1)
            archive.writestr(f"{root}/fold_{name}/validation/summary.json", text)


def _plans_names(folders: Sequence[Path], infos: Sequence[VersionInfo]) -> list[str]:
    """Names of the plans, all different: they tell the models' folders apart."""
    names = [str(read_json(folder / PLANS).get("plans_name", "nnUNetPlans")) for folder in folders]
    return [
        f"{name}_{re.sub(r'[^A-Za-z0-9]+', '_', info.name)}" if names.count(name) > 1 else name
        for name, info in zip(names, infos, strict=True)
    ]


def _fold_names(version_dir: Path, info: VersionInfo) -> dict[int, str]:
    manifest = read_manifest(version_dir)
    if manifest is not None and manifest.n_folds == 1:
        # Trained on every case: nnU-Net's word for that is 'all'.
        return dict.fromkeys(info.folds, "all")
    return {fold: str(fold) for fold in info.folds}


def _dataset(version_dir: Path, info: VersionInfo) -> dict[str, Any]:
    dataset: dict[str, Any] = read_json(version_dir / DATASET)
    order = painting_order(dataset)
    if order and CLASSES in dataset:
        own = [name for name in dataset["labels"] if name not in ("background", IGNORE)]
        plain = dict(zip(own, order, strict=True))
        labels = {
            name.removeprefix(f"{plain[name]}_") if name in plain else name: value
            for name, value in dataset["labels"].items()
        }
        # Two of one name, or a word of nnU-Net's: as they are.
        return {**dataset, "labels": labels} if len(labels) == len(dataset["labels"]) else dataset
    prefixed = {f"{k}_{value}": k for k, value in enumerate(info.class_values, start=1)}
    labels = dataset["labels"]
    ignored = {name: k for name, k in labels.items() if name == IGNORE}
    if {name: k for name, k in labels.items() if k != 0 and name not in ignored} == prefixed:
        return {**dataset, "labels": nnunet_labels(info.class_values) | ignored}
    return dataset


def _summary(folder: Path, info: VersionInfo) -> Iterator[dict[str, Any]]:
    """nnU-Net's validation/summary.json of a fold, with the Dice measured; nothing if none was.

    null where a class is absent: nnU-Net writes NaN, which is not JSON.
    """
    if not (folder / RESULT).exists():
        return  # trained elsewhere
    result = read_document(folder / RESULT, FoldResult)
    dice = result.dice_per_class
    mean = mean_over_classes(dice)
    if mean is None:
        return
    integers = {value: str(k) for k, value in enumerate(info.class_values, start=1)}
    yield {
        "foreground_mean": {"Dice": mean},
        "mean": {integers[name]: {"Dice": value} for name, value in dice.items()},
        "metric_per_case": [
            {
                "prediction_file": case_id,
                "metrics": {integers[name]: {"Dice": value} for name, value in scores.items()},
            }
            for case_id, scores in result.dice_per_case.items()
        ],
    }

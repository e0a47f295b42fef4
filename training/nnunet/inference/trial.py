"""Tries before a training what comes after it, and a version before it is one.

A network that can't be loaded or can't predict is found in seconds then, and not after hours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import read_json, write_json
from domain.errors import NnloopError, PredictionError, TrainerError
from domain.text import one_line
from training.case_files import read_case_image
from training.dataset_labels import n_classes
from training.folds.spec import FINAL, FoldSpec
from training.nnunet.architecture import build_network
from training.nnunet.checkpoint import write_checkpoint
from training.nnunet.classes import trainer_class
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.memory import is_out_of_memory
from training.nnunet.usable_device import usable_device
from training.presets import Preset
from training.versions.version_folder import DATASET, PLANS, VERSION, VersionInfo
from training.workspace import Workspace

_LONGEST_SIDE = 1024
"""Of the image a trial predicts, in pixels: a corner of a larger one says as much."""

_LIMIT, _LIMIT_GPU = 1e-4, 0.02
"""Largest difference of a probability between a network and its loaded copy. A CPU adds in the same
order; half precision on a GPU may choose other kernels."""

_REMEDY = (
    "Mend the trainer, or name another: predictions are made by a network built anew, in "
    "evaluation mode, with deep supervision off."
)


def try_fresh_network(workspace: Workspace, case_id: str, preset: Preset, device: str) -> None:
    """Builds the network that a training will train, and predicts a case where it will serve.

    Args:
        workspace: The project, its data set prepared.
        case_id: A case of it.
        preset: Names the trainer.
        device: torch's name of the device that predicts.

    Raises:
        DeviceError: The device is not there.
        TrainerError: It can't be built or can't predict; the message says what it says.
    """
    usable_device(device)
    folder = workspace.preprocessed_dataset
    plans, dataset = read_json(folder / PLANS), read_json(folder / DATASET)
    with torch.random.fork_rng(devices=[]):
        network = build_network(trainer_class(preset.trainer), PlansManager(plans), dataset)
        try_network(network, plans, dataset, _image(workspace, case_id), preset.trainer, device)


def try_network(
    network: torch.nn.Module,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    image: npt.NDArray[Any],
    trainer: str,
    device: str = "cpu",
) -> npt.NDArray[np.float32]:
    """An image's probabilities (class, height, width) by a network, in evaluation mode.

    Args:
        network: On any device; it is moved to ``device``.
        plans: plans.json.
        dataset: dataset.json.
        image: As for ``FoldPredictor.predict``.
        trainer: Its trainer's name, for the message.
        device: torch's name.

    Raises:
        TrainerError: It fails, or what it gives are no probabilities of the data set's classes.
    """

    def load() -> FoldPredictor:
        return FoldPredictor({0: network.to(device)}, plans, dataset, device=device)

    return _predicted(load, image, 0, n_classes(dataset), trainer)


def try_serving(
    network: torch.nn.Module,
    spec: FoldSpec,
    mirror_axes: tuple[int, ...],
    device: str,
) -> None:
    """Saves a network as a finished fold's, loads it as a version's, and predicts a case with both.

    Args:
        network: The one that will be trained, on ``device``, its deep supervision off.
        spec: The fold; plans.json and dataset.json are in its folder.
        mirror_axes: As its checkpoints will say.
        device: torch's name of the network's device.

    Raises:
        TrainerError: It could not serve after its training, or would predict something else.
        OSError: The disk has no room for its weights.
    """
    plans, dataset = read_json(spec.fold_dir / PLANS), read_json(spec.fold_dir / DATASET)
    splits = read_json(spec.workspace.preprocessed_dataset / "splits_final.json")
    image = _image(spec.workspace, splits[spec.fold]["train"][0])
    n_maps, name = n_classes(dataset), spec.preset.trainer
    n_channels = len(dataset["channel_names"])
    info = VersionInfo("trial", spec.class_values, n_channels, spec.preset, (spec.fold,), {})
    with (
        torch.random.fork_rng(devices=[]),
        tempfile.TemporaryDirectory(dir=spec.fold_dir, prefix=".trial-") as scratch,
    ):
        folder = Path(scratch)
        write_document(folder / VERSION, VersionInfo, info)
        write_json(folder / PLANS, plans)
        write_json(folder / DATASET, dataset)
        write_checkpoint(
            folder / f"fold_{spec.fold}" / FINAL,
            {
                "network_weights": network.state_dict(),
                "inference_allowed_mirroring_axes": mirror_axes,
            },
        )
        trained = _predicted(
            lambda: FoldPredictor(
                {spec.fold: network},
                plans,
                dataset,
                device=device,
                # Other tiles would show other surroundings, and give other probabilities.
                tile_step=spec.preset.tile_step,
            ),
            image,
            spec.fold,
            n_maps,
            name,
        )
        loaded = _predicted(
            lambda: FoldPredictor.load(folder, device=device, mirroring=False, engine="torch"),
            image,
            spec.fold,
            n_maps,
            name,
        )
    difference = float(np.abs(trained - loaded).max())
    if difference > (_LIMIT if device == "cpu" else _LIMIT_GPU):
        raise TrainerError(
            f"A model of the trainer {name!r} can't serve: saved and loaded it predicts "
            f"something else ({difference:.2g} off in a probability).",
            remedy="Mend the trainer: everything its network computes with must be in its "
            "state_dict or follow from the plans. Or name another.",
        )


def try_version(version_dir: Path, image: npt.NDArray[Any], *, device: str) -> None:
    """Loads a version and lets each of its folds predict an image.

    Args:
        version_dir: Its folder, or what will become it.
        image: As for ``FoldPredictor.predict``; of a large one a corner is taken.
        device: torch's name.

    Raises:
        PredictionError: It can't be loaded, a fold fails, or one gives no probabilities.
    """
    predictor = FoldPredictor.load(version_dir, device=device, mirroring=False, engine="torch")
    for fold in predictor.folds:
        try:
            _require_probabilities(predictor.predict_single_fold(_corner(image), fold), image)
        except Exception as error:
            if isinstance(error, PredictionError) or is_out_of_memory(error):
                raise
            raise PredictionError(
                f"Fold {fold} of the new version can't predict: {_told(error)}",
                remedy="Mend the trainer, then train again.",
            ) from error


def _predicted(
    load: Any, image: npt.NDArray[Any], fold: int, n_maps: int, trainer: str
) -> npt.NDArray[np.float32]:
    try:
        found: npt.NDArray[np.float32] = load().predict_single_fold(image, fold)
        _require_probabilities(found, image, n_maps)
    except Exception as error:
        # The network is anybody's code: it may raise anything.
        if isinstance(error, OSError) or is_out_of_memory(error):
            raise
        reason = str(error) if isinstance(error, NnloopError) else _told(error)
        raise TrainerError(
            f"A model of the trainer {trainer!r} can't serve: {reason}",
            remedy=_REMEDY,
        ) from error
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _require_probabilities(
    found: npt.NDArray[np.float32], image: npt.NDArray[Any], n_maps: int | None = None
) -> None:
    if n_maps is not None and len(found) != n_maps:
        raise PredictionError(f"it gives {len(found)} maps for {n_maps} classes.")
    if not np.isfinite(found).all():
        raise PredictionError(
            "Its prediction is no number.", remedy="Its weights may be broken: train again."
        )


def _image(workspace: Workspace, case_id: str) -> npt.NDArray[Any]:
    return _corner(read_case_image(workspace, case_id))


def _corner(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(image[:_LONGEST_SIDE, :_LONGEST_SIDE])

"""Predicts with the newest checkpoint of a fold, also while the fold writes newer ones."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.documents import from_json, to_json
from converters.images.image_pixels import write_png
from domain.errors import NnloopError
from domain.prediction import most_probable
from domain.text import one_line
from training.case_files import read_case_image
from training.nnunet.architecture import build_network
from training.nnunet.checkpoint import read_checkpoint
from training.nnunet.classes import trainer_class
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.usable_device import usable_device
from training.versions.fold_previews import FoldToPreview, PreviewedFold, PreviewSpec

IMAGE_BYTES = 256 * 2**20
"""Memory for the maps of one image; what is larger lies in a file meanwhile."""

_TRIES = 3
_PAUSE_S = 0.5
"""Another machine may replace the file while it is read: then what was read is of no use."""


def preview(value: Any, lines: TextIO) -> None:
    """Predicts all folds of a ``PreviewSpec``, a JSON value, and prints a line for each.

    Raises:
        DeviceError: The device is not there.
    """
    spec = from_json(PreviewSpec, value)
    usable_device(spec.device)
    torch.set_num_threads(1)
    for one in spec.folds:
        try:
            found = _fold(spec, one)
        except Exception as error:  # noqa: BLE001 - the fault of a fold stops no other
            found = PreviewedFold(one.fold, message=_why(error))
        print(json.dumps(to_json(PreviewedFold, found)), file=lines, flush=True)


def newest_checkpoint(paths: Sequence[str]) -> dict[str, Any] | None:
    """What the first of the checkpoints holds that is there, on the CPU; None: none is.

    Files are replaced whole: one that is opened stays what it was. One that can't be read is read
    anew, another may be in its place by now.

    Raises:
        OSError: It can't be read.
        pickle.UnpicklingError: It is damaged.
        RuntimeError: Likewise.
    """
    for attempt in range(_TRIES):
        # A fold that ends moves on to the next name between two looks, never back: once all were
        # asked and none was there, none was there before.
        for path in paths:
            try:
                return read_checkpoint(Path(path), torch.device("cpu"))
            except FileNotFoundError:
                continue
            except (OSError, RuntimeError, pickle.UnpicklingError):
                if attempt == _TRIES - 1:
                    raise
                time.sleep(_PAUSE_S)
                break
        else:
            return None
    return None


def _fold(spec: PreviewSpec, one: FoldToPreview) -> PreviewedFold:
    checkpoint = newest_checkpoint(one.checkpoints)
    if checkpoint is None:
        return PreviewedFold(one.fold)
    # Two thirds of it, and of no use here.
    checkpoint["optimizer_state"] = checkpoint["grad_scaler_state"] = None
    made, about = checkpoint["init_args"], checkpoint["nnloop"]
    plans, dataset = made["plans"], made["dataset_json"]
    network = build_network(trainer_class(about["trainer"]), PlansManager(plans), dataset)
    network.load_state_dict(checkpoint["network_weights"])
    epoch, epochs = int(checkpoint["current_epoch"]), int(about["epochs"])
    swaps = tuple(tuple(swap) for swap in about["swaps"])
    axes = {*(checkpoint["inference_allowed_mirroring_axes"] or ()), *(axis for axis, *_ in swaps)}
    checkpoint = None
    predictor = FoldPredictor(
        {one.fold: network.to(spec.device).eval()},
        plans,
        dataset,
        device=spec.device,
        mirror_axes=sorted(axes) if spec.mirrors else (),
        swaps=swaps,
        tile_step=spec.tile_step,
    )
    predictor.image_bytes = IMAGE_BYTES
    folder = Path(spec.out) / f"fold_{one.fold}"
    folder.mkdir(parents=True, exist_ok=True)
    integers = np.array(spec.integers, dtype=np.uint8)
    failures = {}
    for case in one.cases:
        try:
            image = read_case_image(case.workspace, case.case_id)
            classes = most_probable(predictor.predict_single_fold(image, one.fold))
            write_png(folder / f"{case.case_id}.png", integers[classes])
        except Exception as error:  # noqa: BLE001 - the fault of a case stops no other
            failures[case.case_id] = _why(error)
    return PreviewedFold(one.fold, epoch, max(epochs, epoch), failures=failures)


def _why(error: Exception) -> str:
    return (
        error.in_full if isinstance(error, NnloopError) else one_line(error) or type(error).__name__
    )

"""nnU-Net's own trainer for a given time: ``python -m benchmarks.peers.plain_nnunet SPEC.json``.

A process of its own for ``benchmarks.quality``. nnU-Net is used as its documentation shows:
``nnUNetTrainer`` with its own optimiser, schedule, augmentation and sampling, then
``nnUNetPredictor`` with its defaults. What differs: training stops at a time (in the middle of an
epoch, if need be), and neither plots nor ``validation/`` are written.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from converters.bookkeeping.files import read_json, write_json
from training.case_files import read_case_image, read_image
from training.evaluation import DicePerCase, mean_over_cases, named_dice
from training.nnunet.data.plans import CONFIGURATION
from training.nnunet.environment import nnunet_roots
from training.workspace import Workspace

_SPACING = (999, 1, 1)


class _TimeIsUpError(Exception):
    """Training has had its time."""


class TimedTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's trainer, ended by the clock."""

    ends_at = float("inf")
    steps = 0

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's, unless the time is up."""
        if time.monotonic() >= self.ends_at:
            raise _TimeIsUpError
        result: dict[str, Any] = super().train_step(batch)
        self.steps += 1
        return result

    def on_epoch_end(self) -> None:
        """Without plot and checkpoint: only time spent learning is counted."""
        self.current_epoch += 1

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Nothing: its figures would only be logged."""


def train(spec: dict[str, Any], ends_at: float) -> dict[str, Any]:
    """Trains a fold until ``ends_at`` (monotonic clock), then predicts its held-out cases.

    Args:
        spec: ``root``, ``project_id``, ``fold``, ``class_values``; ``device``, by default the CPU.
        ends_at: When training stops.

    Returns:
        ``dice_per_case``, ``dice_per_class`` (as ``FoldResult``'s), ``steps``.
    """
    workspace = Workspace(Path(spec["root"]), spec["project_id"])
    folder = workspace.preprocessed_dataset
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    device = torch.device(spec.get("device", "cpu"))
    held_out = read_json(folder / "splits_final.json")[spec["fold"]]["val"]
    results = workspace.folder / "plain"
    with nnunet_roots(workspace.raw_root, workspace.preprocessed_root, results):
        trainer = TimedTrainer(
            {**plans, "continue_training": False},
            CONFIGURATION,
            spec["fold"],
            dataset,
            device,
        )
    trainer.ends_at = ends_at
    with contextlib.suppress(_TimeIsUpError):
        trainer.run_training()
    predictor = nnUNetPredictor(
        device=device, perform_everything_on_device=device.type == "cuda", allow_tqdm=False
    )
    trainer.set_deep_supervision_enabled(False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        dataset,
        nnUNetTrainer.__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    dice: DicePerCase = {}
    for case_id in held_out:
        image = read_case_image(workspace, case_id)
        channels = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
        label_map = predictor.predict_single_npy_array(
            channels[:, None].astype(np.float32), {"spacing": _SPACING}, None, None, False
        )[0]
        truth = read_image(workspace.label_png(case_id))
        dice[case_id] = named_dice(label_map.astype(np.uint8), truth, spec["class_values"])
    return {
        "dice_per_case": dice,
        "dice_per_class": mean_over_cases(dice),
        "steps": trainer.steps,
    }


def run(path: Path) -> None:
    """Reads a spec, trains, writes the outcome to the spec's ``out``."""
    spec = read_json(path)
    torch.set_num_threads(spec["threads"])
    # From the start of the process, as for nnloop's folds: imports take seconds.
    started = time.monotonic() - (time.time() - psutil.Process().create_time())
    write_json(Path(spec["out"]), train(spec, started + spec["budget_s"]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m benchmarks.peers.plain_nnunet SPEC.json")
    run(Path(sys.argv[1]))

"""``python -m training.nnunet.child SPEC.json``: trains one fold, and nothing else.

Exit codes: 0 done (result.json is there), 1 failed (error.json says why in one sentence, the
traceback is in the log), 3 the parent is gone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from converters.files import read_json, write_json
from domain.errors import NnloopError, TrainingError
from training.cases import read_image
from training.evaluation import mean_over_cases, named_dice
from training.folds import ERROR, LATEST, PROGRESS, RESULT, FoldSpec
from training.nnunet.predictor import FoldPredictor
from training.nnunet.trainer import LoopTrainer, make_trainer

PARENT_GONE = 3

_PARENT_CHECK_S = 1.0


def main(argv: list[str]) -> int:
    """Runs the fold described by the JSON file ``argv[0]``."""
    # Imports take seconds: the budget counts from the start of the process.
    started = time.monotonic() - (time.time() - psutil.Process().create_time())
    _end_with_parent()
    spec = FoldSpec.from_json(read_json(Path(argv[0])))
    try:
        train_fold(spec, started=started)
    except Exception as error:  # noqa: BLE001  # the process's outermost frame: report and end
        traceback.print_exc()
        message, remedy = _explain(spec, error)
        write_json(spec.fold_dir / ERROR, {"message": message, "remedy": remedy})
        return 1
    return 0


def train_fold(spec: FoldSpec, *, started: float) -> None:
    """Trains (or continues) the fold, predicts its held-out cases, writes result.json.

    Args:
        spec: What to train.
        started: When the process started, on the monotonic clock; the budget counts from it.
    """
    torch.set_num_threads(spec.threads)
    folder, dataset_folder = spec.fold_dir, spec.workspace.preprocessed_dataset
    # Copied into the fold: the dataset may be prepared anew while a version still needs these.
    for name in ("plans.json", "dataset.json"):
        if not (folder / name).exists():
            write_json(folder / name, read_json(dataset_folder / name))
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    held_out = tuple(read_json(dataset_folder / "splits_final.json")[spec.fold]["val"])
    trainer = make_trainer(spec, plans, dataset, started=started)
    trainer.initialize()
    _mend_progress(folder / PROGRESS)
    if not trainer.resume() and spec.warm_start is not None:
        trainer.warm_start(Path(spec.warm_start))
    if spec.budget_s is not None:
        trainer.reserve_s = _prediction_s(spec, trainer, plans, dataset, held_out)
    trainer.run_training()
    dice = _held_out_dice(spec, trainer, plans, dataset, held_out)
    write_json(
        folder / RESULT,
        {
            "fold": spec.fold,
            "epochs": trainer.current_epoch,
            "dice_per_case": dice,
            "dice_per_class": mean_over_cases(dice),
            "seconds": trainer.spent_s + time.monotonic() - started,
            "device": spec.device,
            "warm_started": trainer.warm_started,
        },
    )
    (folder / LATEST).unlink(missing_ok=True)


def _predictor(
    spec: FoldSpec, trainer: LoopTrainer, plans: dict[str, Any], dataset: dict[str, Any]
) -> FoldPredictor:
    trainer.set_deep_supervision_enabled(False)
    return FoldPredictor(
        {spec.fold: trainer.plain_network},
        plans,
        dataset,
        device=str(trainer.device),
        mirroring=spec.preset.mirror_predict,
        tile_step=spec.preset.tile_step,
    )


def _held_out_dice(
    spec: FoldSpec,
    trainer: LoopTrainer,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    held_out: tuple[str, ...],
) -> dict[str, dict[str, float]]:
    predictor = _predictor(spec, trainer, plans, dataset)
    dice = {}
    for case_id in held_out:
        image = read_image(spec.workspace.image_png(case_id))
        truth = read_image(spec.workspace.label_png(case_id))
        label_map = predictor.predict(image)[0].argmax(axis=0).astype(np.uint8)
        dice[case_id] = named_dice(label_map, truth, spec.class_values)
    return dice


def _prediction_s(
    spec: FoldSpec,
    trainer: LoopTrainer,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    held_out: tuple[str, ...],
) -> float:
    """Seconds to set aside for the held-out cases: one is timed, the first call warms up."""
    predictor = _predictor(spec, trainer, plans, dataset)
    image = read_image(spec.workspace.image_png(held_out[0]))
    predictor.predict(image)
    started = time.monotonic()
    predictor.predict(image)
    return (time.monotonic() - started) * len(held_out) + 1.0


def _mend_progress(path: Path) -> None:
    # A killed process may have left half a line: end it, so that the next line is whole.
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a") as file:
            file.write("\n")


def _explain(spec: FoldSpec, error: Exception) -> tuple[str, str]:
    where = f"Training of fold {spec.fold} on {spec.device} failed"
    if isinstance(error, NnloopError):
        return str(error), error.remedy
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return f"{where}: out of memory.", "Use a smaller preset, or free memory on the device."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{where}: the disk is full.", "Free space below the data folder, then train again."
    first_line = (str(error).splitlines() or [""])[0]
    return f"{where}: {type(error).__name__}: {first_line}", f"See {spec.fold_dir / 'train.log'}."


def _end_with_parent() -> None:
    """Ends this process when its parent does: at once on Linux, within a second elsewhere."""
    parent = os.getppid()
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(PARENT_GONE)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise TrainingError("Usage: python -m training.nnunet.child SPEC.json")
    sys.exit(main(sys.argv[1:]))

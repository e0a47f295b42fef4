"""``python -m training.nnunet.learning.fold_process SPEC.json``: trains one fold.

Exit codes: 0 done (result.json is there), 1 failed (error.json says why in one sentence, the
traceback is in the log).
"""

from __future__ import annotations

import errno
import sys
import time
import traceback
from pathlib import Path
from typing import Literal

import torch

from converters.bookkeeping.documents import read_document, write_document
from converters.bookkeeping.files import read_json, write_json
from domain.doubts import DoubtsPerCase
from domain.errors import DiskFullError, NnloopError, TrainerError, TrainingError
from domain.text import one_line
from training.evaluation import mean_over_cases
from training.folds.curves import CurvesWriter
from training.folds.disk import check_free, checkpoint_bytes
from training.folds.spec import (
    DOUBTS,
    ERROR,
    LATEST,
    PROGRESS,
    RESULT,
    VALIDATION,
    FoldError,
    FoldResult,
    FoldSpec,
)
from training.nnunet.checkpoint import remove_unfinished
from training.nnunet.inference.trial import try_serving
from training.nnunet.learning.trainer import LoopTrainer, make_trainer
from training.nnunet.memory import is_out_of_memory
from training.nnunet.networks.pretrained_unet import load_pretrained
from training.processes.birth import seconds_alive
from training.processes.priority import stand_back
from training.versions.version_folder import CONFIGURATION


def main(argv: list[str]) -> int:
    """Runs the fold described by the JSON file ``argv[0]``."""
    # Imports take seconds: the budget counts from the start of the process.
    started = time.monotonic() - seconds_alive()
    stand_back()
    spec = read_document(Path(argv[0]), FoldSpec)
    try:
        train_fold(spec, started=started)
    except Exception as error:  # noqa: BLE001  # the process's outermost frame: report and end
        traceback.print_exc()
        message, remedy = _explain(spec, error)
        reason = FoldError(message, remedy, _lasting(error))
        write_document(spec.fold_dir / ERROR, FoldError, reason)
        return 1
    return 0


def train_fold(spec: FoldSpec, *, started: float) -> None:
    """Trains (or continues) the fold, predicts its held-out cases, writes result.json.

    Args:
        spec: What to train.
        started: When the process started, on the monotonic clock; the budget counts from it.

    Raises:
        DiskFullError: The disk has no room for its checkpoints.
        SettingsError: The preset's pretrained weights are not installed.
        TrainerError: The trainer's network could not serve.
        TrainingError: The preset's trainer can't be found, or weights are broken, NaN or infinite.
    """
    _set_up_torch(spec)
    folder, dataset_folder = spec.fold_dir, spec.workspace.preprocessed_dataset
    # Copied into the fold: the dataset may be prepared anew while a version still needs these.
    for name in ("plans.json", "dataset.json"):
        if not (folder / name).exists():
            write_json(folder / name, read_json(dataset_folder / name))
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    planned_batch_size = int(plans["configurations"][CONFIGURATION]["batch_size"])
    trainer = make_trainer(spec, plans, dataset, started=started)
    trainer.initialize()
    remove_unfinished(folder)
    check_free(folder, _checkpoint_bytes(trainer))
    _mend_progress(folder / PROGRESS)
    curves = CurvesWriter(folder, spec.fold)
    trainer.on_epoch_done = curves.draw_sometimes
    if not trainer.resume():
        load_pretrained(trainer.plain_network)
        with trainer.evaluating() as network:
            try_serving(network, spec, trainer.mirror_axes, str(trainer.device))
        if spec.warm_start is not None:
            trainer.warm_start(Path(spec.warm_start))
    trainer.run_training()
    curves.draw()
    label_maps = folder / VALIDATION if spec.preset.postprocess else None
    if label_maps is not None:
        label_maps.mkdir(exist_ok=True)
    with trainer.evaluating() as network:
        held_out = trainer.held_out.measured(
            network,
            trainer.held_out.case_ids,
            epoch=trainer.current_epoch,
            mirror_axes=trainer.mirror_axes,
            swaps=trainer.swaps,
            out=label_maps,
        )
    write_document(folder / DOUBTS, DoubtsPerCase, held_out.doubts)
    result = FoldResult(
        fold=spec.fold,
        epochs=trainer.current_epoch,
        steps=trainer.steps,
        dice_per_case=held_out.per_case,
        expected=held_out.expected,
        cases_of_class=held_out.cases_of_class,
        dice_per_class=mean_over_cases(held_out.per_case),
        seconds=trainer.plan.spent_s,
        device=spec.device,
        warm_started=trainer.warm_started,
        stopped=trainer.plan.stopped,
        batch_size=trainer.batch_size,
        planned_batch_size=planned_batch_size,
    )
    write_document(folder / RESULT, FoldResult, result)
    (folder / LATEST).unlink(missing_ok=True)


def _set_up_torch(spec: FoldSpec) -> None:
    # As nnU-Net's own command: a GPU leaves torch's threads nothing to do, and processes forked
    # beside them may stand still for ever; cuDNN looks for the fastest of its algorithms.
    is_cpu = spec.device == "cpu"
    torch.set_num_threads(spec.threads if is_cpu else 1)
    torch.backends.cudnn.benchmark = not is_cpu


def _checkpoint_bytes(trainer: LoopTrainer) -> int:
    n_parameters = sum(p.numel() for p in trainer.plain_network.parameters())
    has_momentum_only = isinstance(trainer.optimizer, torch.optim.SGD)
    return checkpoint_bytes(n_parameters, states=1 if has_momentum_only else 2)


def _mend_progress(path: Path) -> None:
    # A killed process may have left half a line: end it, so that the next line is whole.
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a") as file:
            file.write("\n")


def _explain(spec: FoldSpec, error: Exception) -> tuple[str, str]:
    where = f"Training of fold {spec.fold} on {spec.device} failed"
    if isinstance(error, NnloopError):
        return str(error), error.remedy
    if is_out_of_memory(error):
        return f"{where}: out of memory.", "Use a smaller preset, or free memory on the device."
    if _is_disk_full(error):
        return f"{where}: the disk is full.", "Free space below the data folder, then train again."
    return (
        f"{where}: {type(error).__name__}: {one_line(error)}",
        f"See {spec.fold_dir / 'train.log'}.",
    )


def _lasting(error: Exception) -> Literal["", "disk", "trainer"]:
    if isinstance(error, TrainerError):
        return "trainer"
    return "disk" if _is_disk_full(error) else ""


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, DiskFullError)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise TrainingError("Usage: python -m training.nnunet.learning.fold_process SPEC.json")
    sys.exit(main(sys.argv[1:]))

"""Turns foreign checkpoints into plain ones, in a process of its own."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from converters.bookkeeping.files import read_json, write_json
from domain.errors import FileFormatError
from training.processes.command import module_command
from training.processes.guarded import Guarded, ending_signal

CHILD_MODULE = "training.nnunet.read_checkpoints"

JOB = "job.json"
ANSWER = "answer.json"

_GRACE_S = 1.0
_TIMEOUT_S = 1800.0
"""Five folds of nnU-Net's largest network on a slow disk take some minutes."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What the checkpoints said of themselves.

    Attributes:
        trainer: The trainer whose network they are, by its name in nnU-Net.
        mirror_axes: Axes the network was trained mirrored along; 0 = rows, 1 = columns.
        epochs: Epochs trained, the least of all folds.
    """

    trainer: str
    mirror_axes: tuple[int, ...]
    epochs: int


def convert_checkpoints(folder: Path, folds: dict[str, int], *, trust: bool = False) -> Converted:
    """Reads ``fold_<name>.pth`` and writes ``fold_<k>/checkpoint_final.pth`` beside them.

    The child reads only tensors, numbers and text (see ``read_checkpoints``), checks that
    they fit the network of plans.json, and writes them anew: what nnloop keeps never needs to be
    trusted again. It ends with this process.

    Args:
        folder: Holds plans.json, dataset.json and the checkpoints.
        folds: nnU-Net's name of a fold -> the number it gets.
        trust: Unpickle whatever is in the checkpoints: runs any code they hold.

    Raises:
        FileFormatError: A checkpoint can't be read or holds more than numbers (the message names
            it), or does not fit the plans.
    """
    write_json(folder / JOB, {"folds": folds, "trust": trust})
    environment = dict(os.environ)
    environment |= {"CUDA_VISIBLE_DEVICES": "", "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as log:
        command = module_command(CHILD_MODULE, str(folder.absolute()))
        child = Guarded(command, grace_s=_GRACE_S, stdout=log, env=environment)
        try:
            child.wait(_TIMEOUT_S)
        finally:
            code = child.stop()
        log.seek(0)
        output = log.read()
    answer = folder / ANSWER
    if not answer.exists():
        raise FileFormatError(
            f"The checkpoints could not be read: {_last_words(code, output)}.",
            remedy="If the machine ran out of memory, free some; otherwise the file is broken.",
        )
    value = read_json(answer)
    if "error" in value:
        raise FileFormatError(value["error"], remedy=value["remedy"])
    return Converted(value["trainer"], tuple(value["mirror_axes"]), value["epochs"])


def _last_words(code: int, output: bytes) -> str:
    if name := ending_signal(code):
        return f"their process was ended by {name}"
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"their process ended with code {code}"

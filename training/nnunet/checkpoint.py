"""Checkpoints: written whole or not at all, read without running code."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters.bookkeeping.files import replace_with

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def write_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Writes ``checkpoint`` atomically.

    Raises:
        OSError: The disk is full, or the folder can't be written.
    """
    replace_with(path, lambda temporary: _save(checkpoint, temporary))


DAMAGED = (LookupError, EOFError, TypeError, AttributeError)
"""What torch raises at odd bytes, beside an error of unpickling and, of a zip, RuntimeError."""


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Reads a checkpoint with ``weights_only``: it can't run code.

    Raises:
        pickle.UnpicklingError: It is damaged, or holds more than weights.
        RuntimeError: Its zip is damaged, or the device has no room.
        OSError: There is no such file.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except DAMAGED as error:
        raise pickle.UnpicklingError(f"{path.parent.name}/{path.name} is damaged") from error
    return checkpoint


def remove_unfinished(folder: Path) -> None:
    """Removes what ``write_checkpoint`` leaves in a folder when it is killed.

    Nobody may be writing there.
    """
    for path in folder.glob(".checkpoint_*.tmp"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def only_weights() -> Iterator[None]:
    """Within the block, torch.load unpickles no code even where nnU-Net asks it to."""
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


def plain(value: Any) -> Any:
    """Numpy numbers as Python's own, so that loading needs no unpickling of foreign types."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _save(checkpoint: dict[str, Any], path: Path) -> None:
    # Into an open file: given a path, torch turns 'disk full' into a RuntimeError that says less.
    with path.open("wb") as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:
            # Closing its archive fails too, and hides the write that failed before.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())

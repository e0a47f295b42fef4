"""Whether the disk has room for what comes next, asked before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from domain.errors import DiskFullError

_MARGIN_BYTES = 64 * 2**20
"""Beside what is estimated: logs, curves, plans, the store's own growth meanwhile."""

_FLOAT_BYTES = 4
_LABEL_BYTES = 2
_POSITIONS = 10_000
_POSITION_BYTES = 4 * 8


def check_free(path: Path, needed_bytes: int) -> None:
    """Does nothing when the disk of ``path`` has room for ``needed_bytes`` and a margin of 64 MiB.

    Args:
        path: A file or folder, which need not exist yet.
        needed_bytes: An estimate, for example of ``checkpoint_bytes``.

    Raises:
        DiskFullError: It has not; the message names the folder, what is free and what is needed.
    """
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    needed = needed_bytes + _MARGIN_BYTES
    if free < needed:
        raise DiskFullError(
            f"The disk of {folder} has {_size(free)} free, but {_size(needed)} are needed.",
            remedy="Free space there, or move the data folder to a larger disk.",
        )


def checkpoint_bytes(n_parameters: int, states: int) -> int:
    """Most bytes the checkpoints of one fold take at the same time.

    A checkpoint is written beside the one it replaces, so checkpoint_latest is there twice; at the
    end it lies beside checkpoint_final, which holds the weights only.

    Args:
        n_parameters: Of the network, in float32.
        states: Numbers the optimiser keeps per parameter: 2 for Adam, 1 for momentum.
    """
    latest = (1 + states) * n_parameters
    return _FLOAT_BYTES * max(2 * latest, latest + n_parameters)


def preprocessed_bytes(
    shapes: Iterable[tuple[int, int]], *, n_channels: int, n_classes: int
) -> int:
    """Most bytes the preprocessed files of some cases take; their compression is not counted on.

    Args:
        shapes: (height, width) of each case in pixels, after resampling.
        n_channels: Of the images: float32 each.
        n_classes: Without background. nnU-Net keeps up to 10,000 pixel positions of each, four
            int64 a position.
    """
    total = 0
    for height, width in shapes:
        n_pixels = height * width
        total += n_pixels * (_FLOAT_BYTES * n_channels + _LABEL_BYTES)
        total += min(n_pixels, _POSITIONS) * _POSITION_BYTES * n_classes
    return total


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"

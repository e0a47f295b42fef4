"""FoldMaps: what every network says about one image, in blocks of rows that fit into memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from domain.prediction import FoldProbabilities
from training.nnunet.inference.mixing import mean_of_members, mixed

DEFAULT_IMAGE_BYTES = 512 * 2**20
"""Memory for the maps of one image: one of 4 megapixels with 5 folds and 3 classes is one block."""

_COPIES = 6
"""Arrays of a block's size at once: stretched, softmax, mixed, merged, and what is made of them."""

MOST_VIEWS = 3
"""Of an image: as it is, and mirrored along either axis."""

Rows: TypeAlias = Callable[[slice], FoldProbabilities]
"""Rows of an image -> their (fold, class, row, width) float32 softmax; each row by itself, so the
same numbers whatever the block."""


@dataclass(frozen=True, slots=True, eq=False)
class FoldMaps:
    """The softmax of all networks, not yet stretched to the image's size.

    Attributes:
        members: Per model of the version the maps of its folds.
        n_maps: Maps of all of them.
        n_classes: Background included.
        size_hw: (height, width) of the image in pixels.
        image_bytes: What a block and what is made of it may take.
        mirrored: Of a single network, what it says of the image and of its mirror images
            (``views.Views``); None where that was not asked for or says nothing.
    """

    members: tuple[Rows, ...]
    n_maps: int
    n_classes: int
    size_hw: tuple[int, int]
    image_bytes: int = DEFAULT_IMAGE_BYTES
    mirrored: Rows | None = None

    def blocks(self) -> Iterator[tuple[slice, FoldProbabilities]]:
        """Rows from the top, and their maps: (fold, class, row, width) float32 softmax in [0, 1].

        One after the other the blocks are the image, each as large as memory allows. The plain mean
        over their first axis is the mean over the models of the mean over each one's folds.
        """
        for rows, found in self._blocks():
            yield rows, mixed(found)

    def views(self) -> Iterator[FoldProbabilities | None]:
        """For each of ``blocks`` the views of its rows, (view, class, row, width), likewise.

        A view is what a single network says of the image, or of a mirror image, turned back. None
        for each where there are no views.
        """
        for rows in self._slices():
            yield None if self.mirrored is None else self.mirrored(rows)

    def whole(self) -> FoldProbabilities:
        """(fold, class, height, width): all of it, whatever it takes."""
        return mixed([member(slice(0, self.size_hw[0])) for member in self.members])

    def mean(self) -> npt.NDArray[np.float32]:
        """(class, height, width) float32: the mean over the maps, in a file where it is large."""
        found = self.room()
        for rows, block in self.blocks():
            block.mean(axis=0, out=found[:, rows])
        return found

    def mean_of_members(self) -> npt.NDArray[np.float32]:
        """``mean``, added up model by model (``mixing.mean_of_members``)."""
        found = self.room()
        for rows, members in self._blocks():
            found[:, rows] = mean_of_members(members)
        return found

    def room(self) -> npt.NDArray[np.float32]:
        """(class, height, width) float32 to write to, see ``room``."""
        return room((self.n_classes, *self.size_hw), self.image_bytes)

    def _blocks(self) -> Iterator[tuple[slice, list[FoldProbabilities]]]:
        for rows in self._slices():
            yield rows, [member(rows) for member in self.members]

    def _slices(self) -> Iterator[slice]:
        height, width = self.size_hw
        n_maps = self.n_maps if self.mirrored is None else self.n_maps + MOST_VIEWS
        step = max(1, self.image_bytes // (4 * _COPIES * n_maps * self.n_classes * width))
        for start in range(0, height, step):
            yield slice(start, min(start + step, height))


def room(shape: Sequence[int], most_bytes: int) -> npt.NDArray[np.float32]:
    """A float32 array to write to; one of more than ``most_bytes`` lies in a temporary file.

    Raises:
        OSError: The disk has no room for it.
    """
    n_bytes = 4 * prod(shape)
    if n_bytes <= most_bytes:
        return np.empty(tuple(shape), np.float32)
    with tempfile.TemporaryFile(prefix="nnloop-maps-") as file:
        if hasattr(os, "posix_fallocate"):
            # Where the disk is full a mapped page that can't be written ends the process.
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        return np.memmap(file, np.float32, "w+", shape=tuple(shape))

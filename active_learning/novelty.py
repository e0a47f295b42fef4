"""Whether an image is unlike all that is labelled: what a model can know nothing of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from active_learning.strategies.distances import blocks, nearest, squared_distances

UNLIKE_P = 0.05
"""An image is unlike those labelled if at most this share of them is as far from the others."""

FEWEST = int(1 / UNLIKE_P) - 1
"""Labelled images without which no image can be called so."""

MOST = 500
"""Labelled images compared with, of more so many evenly from all: 4 ms, once per scoring."""


class LabelledLooks:
    """What the labelled images look like.

    An image is compared with them as each of them with the others: its distance to the nearest,
    among theirs (a conformal test: Laxhammar & Falkman 2010). If it was drawn as they were, it is
    called unlike them in 5 of 100 cases at most; fewer where a strategy chose them far apart.

    Args:
        embeddings: (m, d) of the labelled images, unit vectors; rows of NaN are left out.
    """

    def __init__(self, embeddings: npt.NDArray[np.float32]) -> None:
        known = embeddings[~np.isnan(embeddings).any(axis=1)].astype(np.float32, copy=False)
        if len(known) > MOST:
            known = known[np.linspace(0, len(known) - 1, MOST).astype(np.intp)]
        self._known = known
        self._apart = _squares_to_nearest_other(known)

    def p_of(self, embedding: npt.NDArray[np.float32]) -> float:
        """The share of images that lie as far from the labelled ones as this one, itself counted.

        Args:
            embedding: (d,), a unit vector.

        Returns:
            In (0, 1]; 1 where nothing can be told.
        """
        if len(self._known) == 0 or np.isnan(embedding).any():
            return 1.0
        _, square = nearest(embedding[np.newaxis].astype(np.float32), self._known)
        n_as_far = int(np.count_nonzero(self._apart >= square[0]))
        return (1 + n_as_far) / (1 + len(self._apart))

    def is_unlike(self, embedding: npt.NDArray[np.float32]) -> bool:
        """Whether an image is unlike anything labelled."""
        return self.p_of(embedding) <= UNLIKE_P


def _squares_to_nearest_other(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(m,) squared distance of each of (m, d) points to the nearest other one."""
    found = np.full(len(points), np.inf, np.float32)
    if len(points) < 2:
        return found
    for block in blocks(len(points), len(points)):
        squares = squared_distances(points[block], points)
        rows = np.arange(len(squares))
        squares[rows, rows + block.start] = np.inf
        found[block] = squares.min(axis=1)
    return found

"""Embeddings of the library's images, for strategies that look at how images lie to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.replay.library import LibraryCase

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Case id -> (d,) float32 unit vector; those that are missing are unknown."""

    vectors: Mapping[str, Vectors]

    def of(self, cases: Sequence[LibraryCase]) -> Vectors:
        """(n, d) float32 in the order of the cases; a row of NaN = unknown."""
        width = len(next(iter(self.vectors.values())))
        unknown = np.full(width, np.nan, np.float32)
        rows = [self.vectors.get(case.case_id, unknown) for case in cases]
        return np.stack(rows) if rows else np.empty((0, width), np.float32)

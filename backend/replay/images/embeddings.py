"""Embeddings of the library's images, for strategies that look at how images lie to one another."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backend.replay.images.library import Library, LibraryCase
from converters.bookkeeping.files import write_bytes

Vectors = npt.NDArray[np.float32]

FILE = "embeddings.npz"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Content hash of a case -> (d,) float32 unit vector; those that are missing are unknown."""

    vectors: Mapping[str, Vectors]

    def of(self, cases: Sequence[LibraryCase]) -> Vectors:
        """(n, d) float32 in the order of the cases; a row of NaN = unknown."""
        width = len(next(iter(self.vectors.values())))
        unknown = np.full(width, np.nan, np.float32)
        rows = [self.vectors.get(case.content_hash, unknown) for case in cases]
        return np.stack(rows) if rows else np.empty((0, width), np.float32)

    def write(self, root: Path) -> None:
        """Puts them beside the library."""
        buffer = io.BytesIO()
        hashes = list(self.vectors)
        np.savez(buffer, hashes=hashes, vectors=np.stack([self.vectors[one] for one in hashes]))
        write_bytes(root / FILE, buffer.getvalue())


def read_embeddings(root: Path, library: Library) -> Embeddings | None:
    """Those of a library; None where there are none, or not of all its images."""
    try:
        with np.load(root / FILE, allow_pickle=False) as stored:
            found = dict(zip(stored["hashes"].tolist(), stored["vectors"], strict=True))
    except Exception:  # noqa: BLE001 - whatever NumPy finds wrong with it, they are made anew
        return None
    wanted = [case.content_hash for case in library.cases]
    if any(one not in found for one in wanted):
        return None
    return Embeddings({one: found[one] for one in wanted})

"""Vectors as columns hold them: float16, little-endian, whatever the machine; empty is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STORED = np.dtype("<f2")


def pack(vector: npt.NDArray[np.float32] | None) -> bytes:
    """What a column holds of a vector (d,), or of none."""
    return b"" if vector is None else vector.astype(_STORED).tobytes()


def unpack(stored: bytes) -> npt.NDArray[np.float32]:
    """(d,) the vector a column holds; (0,) where it holds none."""
    return np.frombuffer(stored, _STORED).astype(np.float32)

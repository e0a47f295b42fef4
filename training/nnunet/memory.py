"""Whether an error means that memory ran out, on any device."""

from __future__ import annotations

import torch


def free_cache() -> None:
    """Gives back what torch keeps of a GPU's memory for its next use: others train on it, too."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


_MARKS = (
    "out of memory",  # CUDA, MPS
    "can't allocate memory",  # torch on a CPU
    "alloc_failed",  # cuDNN and cuBLAS
    "insufficient resources",  # cuDNN
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for ``torch.OutOfMemoryError``, ``MemoryError`` and torch's RuntimeErrors of the kind.

    MPS, cuDNN and torch's CPU allocator raise plain RuntimeErrors: only their text tells.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(m in str(error).lower() for m in _MARKS)

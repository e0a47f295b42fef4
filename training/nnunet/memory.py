"""Whether an error means that memory ran out, on any device."""

from __future__ import annotations

import torch

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

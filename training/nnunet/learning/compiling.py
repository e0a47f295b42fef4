"""torch.compile where it can work; where it can't, training goes on without it."""

from __future__ import annotations

import os
import shutil

import torch

_COMPILERS = ("cc", "gcc", "clang")


def missing_compiler() -> str:
    """Why torch.compile can't build its kernels' launchers; "" where a C compiler is at hand.

    Triton looks in ``CC`` and then for these, at the first step: minutes into a training.
    """
    named = os.environ.get("CC", "")
    if named:
        return "" if shutil.which(named) else f"CC names {named}, which is not there"
    if any(map(shutil.which, _COMPILERS)):
        return ""
    return f"there is no C compiler ({', '.join(_COMPILERS)})"


def tolerate_failures() -> None:
    """Whatever torch.compile can't do is done by plain torch, with a warning in the log."""
    torch._dynamo.config.suppress_errors = True

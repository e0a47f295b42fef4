"""nnU-Net's three roots, which it reads from the environment at each use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from training.workspace import Workspace


@contextlib.contextmanager
def nnunet_roots(raw: Path, preprocessed: Path, results: Path | None = None) -> Iterator[None]:
    """Sets nnU-Net's roots for the block, then puts the old values back.

    The roots are global to the process: use one project at a time in a process.
    """
    values = {
        "nnUNet_raw": str(raw),
        "nnUNet_preprocessed": str(preprocessed),
        "nnUNet_results": str(results) if results else None,
        # 0 processes crash the planner; more than 1 make it set torch's thread count.
        "nnUNet_n_proc_DA": "1",
    }
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def project_roots(workspace: Workspace) -> contextlib.AbstractContextManager[None]:
    """``nnunet_roots`` of a project."""
    return nnunet_roots(workspace.raw_root, workspace.preprocessed_root)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

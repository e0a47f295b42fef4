"""Command lines that start a module of nnloop's in a process of its own."""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line of ``python -m MODULE ARGUMENTS``, whatever folder it is started in.

    The current folder is never on its path: a person's ``training.py`` or ``backend/`` would else
    run in the place of nnloop's own.
    """
    return [sys.executable, "-P", "-m", module, *arguments]

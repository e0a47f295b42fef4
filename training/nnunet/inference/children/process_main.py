"""What the modules run by ``training.processes.networks.run_child`` have in common."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from converters.bookkeeping.files import read_json, write_json
from domain.errors import NnloopError
from domain.text import one_line


def answer(argv: list[str], work: Callable[[Any, TextIO], None]) -> int:
    """Does the work of the JSON file ``argv[0]``; the sentence of an error goes to ``argv[1]``.

    Args:
        argv: Paths of the two files.
        work: Called with the file's value and where to print lines for the parent.

    Returns:
        The process's exit code: 0, or 1 after an error.
    """
    # What libraries print must not be taken for a case: only this handle reaches the parent.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        work(read_json(Path(argv[0])), lines)
    except NnloopError as error:
        write_json(Path(argv[1]), {"message": str(error), "remedy": error.remedy})
        return 1
    finally:
        lines.flush()
    return 0


def leave(code: int) -> NoReturn:
    """Ends a process that has predicted, at once.

    Python would wait for threads that convert networks for images which do not come: seconds for
    each fold.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def write_outcome(lines: TextIO, case_id: str, error: Exception | None = None) -> None:
    """Prints a case's line: its id, then a tab and the reason when it could not be predicted."""
    reason = ""
    if isinstance(error, NnloopError):
        reason = one_line(error.in_full, 1_000)
    elif error is not None:
        reason = f"Unexpected {type(error).__name__}: {one_line(error)}"
    lines.write(f"{case_id}\t{reason}\n" if error else f"{case_id}\n")

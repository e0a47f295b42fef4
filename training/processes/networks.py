"""Work that needs networks, done in a child process that ends with this one.

For processes that load no networks, as the command line.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from converters.bookkeeping.files import read_json, write_json
from domain.errors import PredictionError
from domain.text import one_line
from training.processes.command import module_command
from training.processes.guarded import Guarded

_LOG_TAIL = 5
_GRACE_S = 1.0


def run_child(
    module: str,
    spec: Any,
    on_line: Callable[[str], None] = lambda _: None,
    *,
    work: str,
    env: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> None:
    """Runs ``python -m MODULE SPEC.json ERROR.json``.

    The module does its work in ``training.nnunet.inference.children.process_main.answer``.

    Args:
        module: Its dotted name.
        spec: A JSON value: what to do.
        on_line: Called with each line it prints, without its end.
        work: What it does, for errors: ``The process that <work> ended ...``.
        env: Variables beside this process's, or in their place.
        limit_s: Seconds after which it is stopped; None: it takes its time.

    Raises:
        PredictionError: It could not do its work, ended before its time, or was stopped.
    """
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        spec_file, error_file = Path(folder) / "spec.json", Path(folder) / "error.json"
        write_json(spec_file, spec)
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            child = Guarded(
                module_command(module, str(spec_file), str(error_file)),
                grace_s=_GRACE_S,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=None if env is None else {**os.environ, **env},
            )
        is_late = threading.Event()
        timer = threading.Timer(limit_s or 0.0, _end, (child, is_late))
        timer.daemon = True
        if limit_s is not None:
            timer.start()
        try:
            for line in io.TextIOWrapper(child.stdout, errors="replace") if child.stdout else ():
                on_line(line.rstrip("\n"))
            child.wait()
        finally:
            timer.cancel()
            code = child.stop()
        if is_late.is_set():
            raise PredictionError(
                f"The process that {work} took longer than {limit_s:g} s and was stopped.",
                remedy="Try again when the machine has less to do.",
            )
        if error_file.exists():
            error = read_json(error_file)
            raise PredictionError(error["message"], remedy=error["remedy"])
        if code != 0:
            tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
            raise PredictionError(
                f"The process that {work} ended with code {code}: "
                f"{one_line(' '.join(tail), 1_000)}",
                remedy="If the machine ran out of memory, free some, then try again.",
            )


def _end(child: Guarded, is_late: threading.Event) -> None:
    """Ends a child from another thread than the one that reads what it prints."""
    is_late.set()
    if (pid := child.pid) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

"""`nnloop COMMAND` in a process of its own that need not import anything: that takes the most time.

``main`` runs in a child of a ``ForkServer``; ``run`` is how a test asks for one.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backend.backup import restore, write
from backend.cli import main as program
from backend.cli.views import status_view
from backend.pipeline.connection import connect, disconnect
from backend.pipeline.models import archive
from backend.pipeline.runs import jobs
from training.processes.forked import ForkServer

# What commands import only when they need it.
LOADED = (archive, connect, disconnect, jobs, restore, status_view, write)


def run(
    arguments: Sequence[str], *, env: dict[str, str], cwd: Path, timeout_s: float
) -> tuple[int, str, str]:
    """What it exits with, and has written to stdout and stderr.

    Args:
        arguments: Of ``nnloop``.
        env: Variables beside those of the tests; of these, nnloop's own are taken away.
        cwd: Its current folder.
        timeout_s: After so long it is stopped, and TimeoutError raised.
    """
    if sys.platform != "linux":  # others may not fork what has loaded this much
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *arguments],
            env={**_environment(), **env},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return done.returncode, done.stdout, done.stderr
    with tempfile.TemporaryDirectory(prefix="nnloop-command-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        order = {"arguments": list(arguments), "cwd": str(cwd), "out": str(out), "err": str(err)}
        child = _server().start([json.dumps(order)], env=env, log=Path(folder, "log"), grace_s=5.0)
        code = child.wait(timeout_s)
        if code is None:
            child.stop()
            raise TimeoutError(f"nnloop {' '.join(arguments)}: {out.read_text()}{err.read_text()}")
        return code, out.read_text(), err.read_text()


def _environment() -> dict[str, str]:
    known = {k: v for k, v in os.environ.items() if not k.startswith(("NNLOOP_", "BASIC_"))}
    # The console takes its width when it is imported.
    return {**known, "COLUMNS": "200"}


@functools.cache
def _server() -> ForkServer:
    server = ForkServer(__name__, env=_environment(), log=2)
    atexit.register(server.close)
    return server


def main(argv: list[str]) -> int:
    """Runs the command that ``run`` asks for."""
    order = json.loads(argv[0])
    os.chdir(order["cwd"])
    for descriptor, path in ((1, order["out"]), (2, order["err"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = ["nnloop", *order["arguments"]]
    try:
        program.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

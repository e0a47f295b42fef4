"""The web service, asked by schemathesis: ``python -m benchmarks.fuzz.api [--examples N]``.

A real ``nnloop serve`` on a store with a connected project serves its OpenAPI document;
schemathesis makes requests of it that are valid and such that are not, and checks status, content
type, headers and body of every answer, with credentials and without. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.web.openapi import PATH
from benchmarks.run import UNABLE
from benchmarks.service_web import PASSWORD, USER, served

# "Ask again later" is an answer: no version yet, a task that is not predicted in time.
_CONFIG = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503]\n'
_DEADLINE_S = 0.3
"""Of /predict: tasks that nobody predicts are answered soon."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs schemathesis; 1 if it found something."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz.api")
    parser.add_argument("--examples", type=int, default=200, help="most for each operation")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    command = _command()
    if command is None:
        print("schemathesis is missing: pip install '.[fuzz]'", file=sys.stderr)
        return UNABLE
    with (
        tempfile.TemporaryDirectory(prefix="nnloop-fuzz-") as scratch,
        served(openapi=True, predict_deadline_s=_DEADLINE_S) as service,
    ):
        folder = Path(scratch)
        (folder / "schemathesis.toml").write_text(_CONFIG)
        done = subprocess.run(
            [
                *(command, "--config-file", "schemathesis.toml", "run", service.url + PATH),
                *("--auth", f"{USER}:{PASSWORD}", "--checks", "all", "--continue-on-failure"),
                *("--max-examples", str(args.examples), "--seed", str(args.seed)),
                *("--report", "json", "--report-json-path", "report.json"),
                *("--request-timeout", "60", "--generation-database", "none"),
            ],
            cwd=folder,
            env={**os.environ, "NO_PROXY": "*", "NO_COLOR": "1"},
            check=False,
        )
        report = folder / "report.json"
        if not report.exists():
            return done.returncode or 1
        print(json.dumps(_figures(json.loads(report.read_bytes()), args.seed)))
    return int(done.returncode != 0)


def _command() -> str | None:
    """Of the environment that runs, before any other."""
    own = Path(sys.executable).parent / "schemathesis"
    return str(own) if own.exists() else shutil.which("schemathesis")


def _figures(report: dict[str, Any], seed: int) -> dict[str, Any]:
    cases = report["test_cases"]
    valid: Counter[str] = Counter()
    for phases in report["valid_rates"].values():
        for counts in phases.values():
            valid.update(counts)
    return {
        "schemathesis": report["schemathesis_version"],
        "operations": report["operations"]["tested"],
        "requests": cases["generated"],
        "failures": cases["unique_failures"],
        "errors": cases["errored"],
        "valid_requests": dict(valid),
        "seconds": round(report["running_time"]),
        "seed": seed,
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
    }


if __name__ == "__main__":
    sys.exit(main())

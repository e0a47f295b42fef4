"""Runs benchmarks and writes one table: ``python -m benchmarks.run [NAME ...]``.

Without names all run but the long ones: those that say ``LONG = True`` take from twenty minutes to
hours each, and run where they are named.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "bench-results" / "table.md"

UNABLE = 3
"""Exit status of a benchmark on a machine that lacks what it measures, such as a GPU."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark gave. ``fault`` is empty when it ran through, or could not run here."""

    name: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    is_unable: bool = False


def discover(folder: Path = ROOT / "benchmarks") -> list[str]:
    """Names of the modules and packages in a folder that define ``main``, sorted, this one not.

    The source is parsed, not imported: a benchmark may load heavy libraries.
    """
    return sorted(
        name
        for name, path in _modules(folder).items()
        if name != Path(__file__).stem and _defines_main(path)
    )


def long_ones(folder: Path = ROOT / "benchmarks") -> set[str]:
    """Names of those that say ``LONG = True``."""
    return {name for name, path in _modules(folder).items() if _is_long(path)}


def read_figures(output: str) -> dict[str, Any]:
    """The JSON object on the last line that is not blank; ValueError if there is none."""
    lines = [line for line in output.splitlines() if line.strip()]
    value = json.loads(lines[-1]) if lines else None
    if not isinstance(value, dict):
        raise ValueError("its last line is not a JSON object")
    return value


def run_benchmark(name: str, root: Path = ROOT) -> Outcome:
    """Runs ``benchmarks.NAME`` of a root folder in a process of its own."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode == UNABLE:
        return Outcome(name, seconds, is_unable=True)
    if done.returncode:
        return Outcome(name, seconds, fault=f"exit status {done.returncode}")
    try:
        return Outcome(name, seconds, read_figures(done.stdout))
    except ValueError as error:
        return Outcome(name, seconds, fault=str(error))


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """One row per figure, under a line that names the machine."""
    lines = [
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} CPU cores.",
        "",
        "| benchmark | figure | value |",
        "|---|---|---|",
    ]
    for outcome in outcomes:
        rows = {"failed": outcome.fault} if outcome.fault else outcome.figures
        if outcome.is_unable:
            rows = {"not run": "this machine lacks what it measures"}
        lines += [f"| {outcome.name} | {key} | {value} |" for key, value in rows.items()]
    return "\n".join(lines) + "\n"


def main(names: Sequence[str] = ()) -> int:
    """Runs the named benchmarks (by default all but the long ones) and writes the table.

    Returns:
        1 if one failed or is unknown, else 0.
    """
    known = discover()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(
            f"No benchmark named {', '.join(unknown)}; there are: {', '.join(known)}.",
            file=sys.stderr,
        )
        return 1
    left_out = [] if names else sorted(long_ones())
    if left_out:
        print(f"Left out, since they take long: {', '.join(left_out)}. Name them to run them.")
    outcomes = []
    for name in names or [name for name in known if name not in left_out]:
        print(f"{name} ...", flush=True)
        outcomes.append(run_benchmark(name))
    table = to_markdown(outcomes)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table, encoding="utf-8")
    print(f"\n{table}\nWritten to {TABLE.relative_to(ROOT)}.")
    return int(any(outcome.fault for outcome in outcomes))


def _modules(folder: Path) -> dict[str, Path]:
    modules = {path.stem: path for path in folder.glob("*.py")}
    return modules | {path.parent.name: path for path in folder.glob("*/__main__.py")}


def _statements(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def _defines_main(path: Path) -> bool:
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "main" for node in _statements(path)
    )


def _is_long(path: Path) -> bool:
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node) == "LONG = True"
        for node in _statements(path)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

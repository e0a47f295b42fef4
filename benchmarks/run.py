"""Runs every benchmark and writes one table: ``python -m benchmarks.run [NAME ...]``."""

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark gave. ``fault`` is empty when it ran through."""

    name: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)
    fault: str = ""


def discover(folder: Path = ROOT / "benchmarks") -> list[str]:
    """Names of the modules and packages in a folder that define ``main``, sorted, this one not.

    The source is parsed, not imported: a benchmark may load heavy libraries.
    """
    modules = {path.stem: path for path in folder.glob("*.py")}
    packages = {path.parent.name: path for path in folder.glob("*/__main__.py")}
    return sorted(
        name
        for name, path in {**modules, **packages}.items()
        if name != Path(__file__).stem and _defines_main(path)
    )


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
        lines += [f"| {outcome.name} | {key} | {value} |" for key, value in rows.items()]
    return "\n".join(lines) + "\n"


def main(names: Sequence[str] = ()) -> int:
    """Runs the named benchmarks (all by default), writes the table; 1 if one failed, else 0."""
    known = discover()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(
            f"No benchmark named {', '.join(unknown)}; there are: {', '.join(known)}.",
            file=sys.stderr,
        )
        return 1
    outcomes = []
    for name in names or known:
        print(f"{name} ...", flush=True)
        outcomes.append(run_benchmark(name))
    table = to_markdown(outcomes)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table, encoding="utf-8")
    print(f"\n{table}\nWritten to {TABLE.relative_to(ROOT)}.")
    return int(any(outcome.fault for outcome in outcomes))


def _defines_main(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

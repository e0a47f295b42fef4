"""What a process loads: the web service and the command line start without networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("module", ["backend.cli.main", "backend.web.app"])
def test_networks_are_not_loaded(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "print(sorted({'torch', 'nnunetv2', 'backend.jobs'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


# What a person waits for; a command loads what it works with when it runs.
SLOW = {
    "alembic",
    "cv2",
    "httpx",
    "label_studio_sdk",
    "matplotlib",
    "nibabel",
    "numpy",
    "PIL",
    "redis",
    "rq",
    "scipy",
    "shapely",
    "sqlalchemy",
    "uvicorn",
}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_wait_for_nothing_slow(option: str) -> None:
    code = (
        f"import sys; sys.argv = ['nnloop', {option!r}]\n"
        "from backend.cli.main import main\n"
        "try: main()\n"
        f"finally: print(sorted({SLOW!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr

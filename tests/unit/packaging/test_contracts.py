"""The fences of ARCHITECTURE.md: a breach of each is caught."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.unit.packaging.paths import PACKAGES, ROOT

BREACHES = {
    "Imports point downwards": ("converters/breach_a.py", "import backend.queue"),
    "Inside backend": ("backend/store/breach_b.py", "import backend.jobs.step"),
    "Inside converters": ("converters/images/breach_h.py", "import converters.exports.run"),
    "Inside backend.pipeline": (
        "backend/pipeline/gate/breach_i.py",
        "import backend.pipeline.models.serving",
    ),
    "Inside training": ("training/folds/breach_j.py", "import training.versions.version_folder"),
    "Only training.nnunet imports nnunetv2 or torch": ("training/breach_c.py", "import torch"),
    "The web process and the command line never load jobs or networks": (
        "backend/web/breach_d.py",
        "import training.nnunet.environment",
    ),
    "Only backend.queue imports rq": ("backend/jobs/breach_e.py", "import rq"),
    "Only backend.label_studio speaks HTTP": ("backend/pipeline/breach_f.py", "import httpx"),
    "Only one engine imports OpenVINO": ("training/nnunet/breach_g.py", "import openvino"),
}


def test_every_contract_catches_a_breach(tmp_path: Path) -> None:
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, line in BREACHES.values():
        (tmp_path / path).write_text(f"{line}\n")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    assert verdicts == dict.fromkeys(BREACHES, "BROKEN"), done.stdout + done.stderr
    for path, _ in BREACHES.values():
        assert path.removesuffix(".py").replace("/", ".") in done.stdout

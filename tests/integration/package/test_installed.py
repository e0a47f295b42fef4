from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

import cv2
import numpy as np

from backend.stack.install import default_env_dir, executable_in
from tests.integration.package.conftest import Nnloop
from tests.unit.packaging.paths import ROOT

TASKS = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/a.png"},
        "annotations": [
            {
                "id": 1,
                "result": [
                    {
                        "id": "r",
                        "type": "polygonlabels",
                        "from_name": "label",
                        "to_name": "image",
                        "original_width": 40,
                        "original_height": 20,
                        "value": {
                            "points": [[10, 20], [60, 20], [60, 80], [10, 80]],
                            "polygonlabels": ["disc"],
                        },
                    }
                ],
            }
        ],
    }
]


def test_the_version_is_the_one_of_the_project(nnloop: Nnloop) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    done = nnloop("--version")
    assert (done.stdout, done.returncode) == (f"nnloop {wanted}\n", 0), done.stderr


def test_the_code_is_the_wheels(program: Path, foreign_folder: Path) -> None:
    code = "import backend, training; print(backend.__file__, training.__file__)"
    done = subprocess.run(
        [str(program.with_name("python")), "-P", "-c", code],
        cwd=foreign_folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("site-packages") == 2 and str(ROOT) not in done.stdout


def test_a_file_is_exported(nnloop: Nnloop, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(json.dumps(TASKS))
    out = tmp_path / "out"
    arguments = ("export", str(tmp_path / "export.json"), "--format", "masks-png")
    done = nnloop(*arguments, "--out", str(out))
    assert done.returncode == 0, done.stderr
    [path] = list(out.rglob("*.png"))
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((20, 40), np.uint8)
    expected[4:16, 4:24] = 1
    np.testing.assert_array_equal(mask, expected)


def test_the_demo_makes_a_version_in_any_folder(nnloop: Nnloop, home: Path) -> None:
    """With a Label Studio at hand: making its environment takes a minute and is not nnloop's."""
    binary = os.environ.get("NNLOOP_LABEL_STUDIO_BIN") or str(executable_in(default_env_dir()))
    figures = home / "figures.json"
    arguments = ("--once", "--versions", "1", "--images", "24", "--budget", "6s")
    done = nnloop(
        "demo", *arguments, "--json", str(figures), timeout=400, NNLOOP_LABEL_STUDIO_BIN=binary
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "was run" not in done.stdout + done.stderr
    found = json.loads(figures.read_text())
    [version] = found["versions"]
    assert version["published"] == 12
    assert found["first_offered_is_lowest_score"]
    page = Path(found["report"]).read_text()
    assert version["name"] in page and "<script" not in page and "Worst cases" in page
    assert found["leftover_processes"] == 0

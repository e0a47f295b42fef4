"""nnloop as a wheel, in an environment and a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.packaging.paths import PACKAGES, ROOT

Nnloop = Callable[..., "subprocess.CompletedProcess[str]"]

FOREIGN = 'raise SystemExit("a file of the current folder was run")\n'


@pytest.fixture(scope="session")
def foreign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's folder, with files that are called as nnloop's own packages are."""
    folder = tmp_path_factory.mktemp("person")
    (folder / "training.py").write_text(FOREIGN)
    (folder / "psutil.py").write_text(FOREIGN)
    for name in ("backend", "converters"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(FOREIGN)
    return folder


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `nnloop` of an environment into which the wheel was installed.

    The wheel's dependencies are those of this environment: they are on its path, nnloop's checkout
    is not.
    """
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # With the checkout on the path pip would find nnloop installed already.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(base), "."],
        cwd=source,
        env=environment,
        check=True,
    )
    [wheel] = base.glob("*.whl")
    env = base / "env"
    venv.create(env)
    python = env / "bin" / "python"
    subprocess.run(
        [*pip, "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
        env=environment,
        check=True,
    )
    [site] = env.glob("lib/python*/site-packages")
    # A line of a .pth file is a folder on the path; the .pth files in it count for nothing.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return env / "bin" / "nnloop"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a person who never saw the checkout."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def nnloop(program: Path, foreign_folder: Path, home: Path) -> Nnloop:
    """Runs a command of the installed nnloop, in the foreign folder unless another is named."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NNLOOP_")}
    for name in ("PYTHONPATH", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "XDG_DATA_HOME"):
        kept.pop(name, None)

    def run(
        *arguments: str, timeout: float = 300, cwd: Path = foreign_folder, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            cwd=cwd,
            env={**kept, "HOME": str(home), "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run

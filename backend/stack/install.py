"""Install: the separate environment of Label Studio, made once.

Label Studio pins redis 5.2 and rq 2.6, so it can't share nnloop's environment. The constraints
file beside this module is the lock.

Run by hand: ``python -m backend.stack.install [FOLDER]``.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from domain.errors import NnloopError, StackError

LABEL_STUDIO_VERSION = "1.23.2"

NEEDED_BYTES = 1_500_000_000
"""Free space wanted before: the environment takes 1.0 GB, pip's downloads come on top."""

CONSTRAINTS = Path(__file__).resolve().with_name("constraints-label-studio.txt")

_ROOT = Path(__file__).resolve().parents[2]
_STAMP = "nnloop-installed"
_NETWORK_SIGNS = (
    "NewConnectionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Connection refused",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Network is unreachable",
)

OnProgress = Callable[[float, str], None]
"""Told the share done in [0, 1] and what happens."""


def default_env_dir(root: Path = _ROOT) -> Path:
    """Where Label Studio's environment is made: in the checkout, else in the user's data folder.

    Args:
        root: The folder that holds nnloop's packages; site-packages for an installed nnloop.
    """
    is_checkout = (root / "pyproject.toml").is_file() and (root / "Makefile").is_file()
    if is_checkout:
        return root / ".venv-label-studio"
    return platformdirs.user_data_path("nnloop") / "label-studio-environment"


def executable_in(env_dir: Path) -> Path:
    """Where the ``label-studio`` command of an environment is."""
    return env_dir / "bin" / "label-studio"


def is_installed(env_dir: Path, constraints: Path = CONSTRAINTS) -> bool:
    """Whether the environment is complete and made from this constraints file."""
    stamp = env_dir / _STAMP
    try:
        return stamp.read_text() == _stamp_of(constraints) and executable_in(env_dir).exists()
    except OSError:
        return False


def ensure_label_studio(
    env_dir: Path | None = None,
    on_progress: OnProgress = lambda share, message: None,
    *,
    constraints: Path = CONSTRAINTS,
) -> Path:
    """Makes sure Label Studio is installed; instant when it is.

    Args:
        env_dir: The folder of its environment, by default ``default_env_dir()``; completed or
            brought up to date in place, made anew when its Python does not work.
        on_progress: Told how far it is.
        constraints: Exact versions, in pip's format.

    Returns:
        Path of the ``label-studio`` command.

    Raises:
        StackError: No network, no space, or pip failed (with its last lines).
    """
    env_dir = (env_dir or default_env_dir()).absolute()
    if is_installed(env_dir, constraints):
        on_progress(1.0, f"Label Studio {LABEL_STUDIO_VERSION} is installed")
        return executable_in(env_dir)
    _require_space(env_dir)
    with _only_one(env_dir, on_progress):
        if is_installed(env_dir, constraints):  # another nnloop has just done it
            return executable_in(env_dir)
        if not _has_pip(env_dir):
            on_progress(0.0, "making an environment")
            _run([sys.executable, "-m", "venv", "--clear", str(env_dir)], "making the environment")
        _pip_install(env_dir, constraints, on_progress)
        (env_dir / _STAMP).write_text(_stamp_of(constraints))
    on_progress(1.0, f"Label Studio {LABEL_STUDIO_VERSION} is installed")
    return executable_in(env_dir)


def _has_pip(env_dir: Path) -> bool:
    command = [str(env_dir / "bin" / "python"), "-m", "pip", "--version"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _pip_install(env_dir: Path, constraints: Path, on_progress: OnProgress) -> None:
    command = [
        *(str(env_dir / "bin" / "python"), "-m", "pip", "install", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar", "off"),
        *("--constraint", str(constraints), f"label-studio=={LABEL_STUDIO_VERSION}"),
    ]
    packages = max(1, len(constraints.read_text().splitlines()))
    seen = 0

    def follow(line: str) -> None:
        nonlocal seen
        if match := re.match(r"Collecting ([A-Za-z0-9._-]+)", line):
            seen += 1
            on_progress(min(0.05 + 0.6 * seen / packages, 0.65), f"getting {match[1]}")
        elif line.startswith("Installing collected packages"):
            on_progress(0.7, f"installing {packages} packages")

    _run(command, "installing Label Studio", follow)


def _run(command: list[str], what: str, follow: Callable[[str], None] = lambda line: None) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        for line in process.stdout:
            lines.append(line.rstrip())
            follow(line)
    if process.returncode == 0:
        return
    tail = "\n".join(lines[-12:])
    if any("No space left on device" in line for line in lines):
        raise StackError(
            f"The disk is full while {what}.\n{tail}",
            remedy=f"Free {NEEDED_BYTES / 1e9:.1f} GB and start again.",
        )
    if any(sign in line for line in lines for sign in _NETWORK_SIGNS):
        raise StackError(
            f"The package index can't be reached while {what}.\n{tail}",
            remedy="Check the network and pip's index settings (PIP_INDEX_URL, HTTPS_PROXY), or "
            "set LABEL_STUDIO_URL to a Label Studio that runs already.",
        )
    raise StackError(
        f"pip failed with status {process.returncode} while {what}.\n{tail}",
        remedy="Start again; if it stays, install label-studio by hand and set LABEL_STUDIO_URL.",
    )


def _require_space(env_dir: Path) -> None:
    folder = next(p for p in (env_dir, *env_dir.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise StackError(
            f"The disk of {folder} has {free / 1e9:.2f} GB free; Label Studio needs "
            f"{NEEDED_BYTES / 1e9:.1f} GB.",
            remedy="Free some space, or set LABEL_STUDIO_URL to a Label Studio that runs already.",
        )


@contextmanager
def _only_one(env_dir: Path, on_progress: OnProgress) -> Iterator[None]:
    """Waits while another nnloop installs into the same folder."""
    lock = FileLock(env_dir.with_name(env_dir.name + ".lock"), mode=0o600)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            on_progress(0.0, "waiting for another installation of it")
            lock.acquire()
    except OSError as error:
        raise StackError(
            f"Label Studio can't be installed into {env_dir}: {error.strerror}.",
            remedy="Check the folder's rights.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _stamp_of(constraints: Path) -> str:
    digest = hashlib.sha256(constraints.read_bytes()).hexdigest()
    return f"{LABEL_STUDIO_VERSION} {sys.version_info.major}.{sys.version_info.minor} {digest}\n"


def main(arguments: list[str]) -> int:
    """Installs with a progress bar; the exit status."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("Label Studio", total=1.0)
            path = ensure_label_studio(
                Path(arguments[0]) if arguments else None,
                lambda share, message: progress.update(
                    bar, completed=share, description=f"Label Studio: {message}"
                ),
            )
    except NnloopError as error:
        console.print(f"{error}\n{error.remedy}", style="red", markup=False)
        return 1
    console.print(str(path), markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

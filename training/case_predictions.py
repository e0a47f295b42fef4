"""Label maps of cases by a version's networks, made in a child process that ends with this one.

For processes that load no networks, as the command line.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.files import read_json, write_json
from domain.errors import PredictionError
from training.workspace import Workspace

CHILD_MODULE = "training.nnunet.inference.predict_cases"

_LOG_TAIL = 5


@dataclass(frozen=True, slots=True)
class CaseToPredict:
    """One case: where its image lies, and who predicts it.

    Attributes:
        workspace_root: ``Workspace.root`` of its image.
        project_id: ``Workspace.project_id``.
        case_id: The case; its label map goes to CASE_ID.png.
        fold: The fold that held it out; None: the mean of the probabilities of all folds.
    """

    workspace_root: str
    project_id: int
    case_id: str
    fold: int | None

    @property
    def workspace(self) -> Workspace:
        """Where its image lies."""
        return Workspace(Path(self.workspace_root), self.project_id)


@dataclass(frozen=True, slots=True)
class PredictionSpec:
    """What the child does.

    Attributes:
        version_dir: A packaged version.
        device: ``cpu``, ``cuda:<i>`` or ``mps``.
        out: Folder for the label maps.
        integers: What the version's classes 0, 1, 2, ... are called in the label maps.
        cases: Which.
    """

    version_dir: str
    device: str
    out: str
    integers: tuple[int, ...]
    cases: tuple[CaseToPredict, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON value that ``from_json`` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PredictionSpec:
        """Reads what ``to_json`` wrote."""
        cases = tuple(CaseToPredict(**case) for case in value["cases"])
        return cls(**{**value, "integers": tuple(value["integers"]), "cases": cases})


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that could not be predicted."""

    case_id: str
    message: str


def predict_cases(
    version_dir: Path,
    cases: Sequence[CaseToPredict],
    out: Path,
    *,
    device: str,
    integers: Sequence[int],
    on_case: Callable[[], None] = lambda: None,
) -> tuple[Failure, ...]:
    """Writes CASE_ID.png, (height, width) uint8, for every case it can.

    Args:
        version_dir: A packaged version.
        cases: Which.
        out: Folder for the label maps; made if missing.
        device: ``cpu``, ``cuda:<i>`` or ``mps``.
        integers: What the version's classes 0, 1, 2, ... are called in the label maps.
        on_case: Called after each case.

    Raises:
        PredictionError: The version can't be loaded, or the child ended before its time.
    """
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        spec_file, error_file = Path(folder) / "spec.json", Path(folder) / "error.json"
        spec = PredictionSpec(
            str(version_dir.resolve()), device, str(out.resolve()), tuple(integers), tuple(cases)
        )
        write_json(spec_file, spec.to_json())
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            child = subprocess.Popen(
                [sys.executable, "-m", CHILD_MODULE, str(spec_file), str(error_file)],
                # The child ends when this pipe closes, however this process ends.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=Path(__file__).resolve().parent.parent,
                text=True,
            )
        failures = []
        try:
            for line in child.stdout or ():
                case_id, _, message = line.rstrip("\n").partition("\t")
                if message:
                    failures.append(Failure(case_id, message))
                on_case()
            code = child.wait()
        finally:
            _end(child)
        if error_file.exists():
            error = read_json(error_file)
            raise PredictionError(error["message"], remedy=error["remedy"])
        if code != 0:
            tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
            raise PredictionError(
                f"The process that predicted with {version_dir.name} ended with code {code}: "
                + " ".join(line.strip() for line in tail),
                remedy="If the machine ran out of memory, free some, then try again.",
            )
    return tuple(failures)


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()

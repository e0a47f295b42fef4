"""Label maps of cases by a version's networks, made in a child process that ends with this one.

For processes that load no networks, as the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.bookkeeping.documents import to_json
from training.processes.networks import run_child
from training.workspace import Workspace

ENTROPY = "{case_id}_entropy.png"
"""(height, width) uint8: entropy of the classes' probabilities, 255 where all are alike."""

CHILD_MODULE = "training.nnunet.inference.children.predict_cases"


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
        with_entropy: Whether ``ENTROPY`` is written too.
    """

    version_dir: str
    device: str
    out: str
    integers: tuple[int, ...]
    cases: tuple[CaseToPredict, ...]
    with_entropy: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that could not be predicted."""

    case_id: str
    message: str


class Failures:
    """Reads the child's lines, one per case."""

    def __init__(self, on_case: Callable[[], None]) -> None:
        """Calls ``on_case`` for every line."""
        self.found: list[Failure] = []
        self._on_case = on_case

    def read(self, line: str) -> None:
        """Takes a line as ``inference.children.process_main.write_outcome`` writes it."""
        case_id, _, message = line.partition("\t")
        if message:
            self.found.append(Failure(case_id, message))
        self._on_case()


def predict_cases(
    version_dir: Path,
    cases: Sequence[CaseToPredict],
    out: Path,
    *,
    device: str,
    integers: Sequence[int],
    on_case: Callable[[], None] = lambda: None,
    entropy_within_s: float | None = None,
) -> tuple[Failure, ...]:
    """Writes CASE_ID.png, (height, width) uint8, for every case it can.

    Args:
        version_dir: A packaged version.
        cases: Which.
        out: Folder for the label maps; made if missing.
        device: ``cpu``, ``cuda:<i>`` or ``mps``.
        integers: What the version's classes 0, 1, 2, ... are called in the label maps.
        on_case: Called after each case.
        entropy_within_s: For pictures: ``ENTROPY`` is written of each case too, and the child is
            stopped after so many seconds; None: neither.

    Raises:
        PredictionError: The version can't be loaded, or the child ended before its time.
    """
    spec = PredictionSpec(
        str(version_dir.resolve()),
        device,
        str(out.resolve()),
        tuple(integers),
        tuple(cases),
        with_entropy=entropy_within_s is not None,
    )
    collected = Failures(on_case)
    work = f"predicted with {version_dir.name}"
    run_child(
        CHILD_MODULE,
        to_json(PredictionSpec, spec),
        collected.read,
        work=work,
        limit_s=entropy_within_s,
    )
    return tuple(collected.found)

"""Label maps of held-out cases by versions and by their ensembles, to choose among them.

What nnU-Net stores with ``--npz`` is computed when it is asked for: each case once per version, by
the fold that held it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.bookkeeping.documents import to_json
from training.processes.networks import run_child
from training.versions.case_predictions import Failure, Failures
from training.workspace import Workspace

CHILD_MODULE = "training.nnunet.inference.children.predict_members"


@dataclass(frozen=True, slots=True)
class HeldOutCase:
    """A case, and each version's fold that has not seen it; None: the mean of all its folds."""

    case_id: str
    folds: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class MembersSpec:
    """What the child does.

    Attributes:
        workspace_root: ``Workspace.root`` of the images.
        project_id: ``Workspace.project_id``.
        version_dirs: Packaged versions, none of them an ensemble.
        choices: Versions, by their place in ``version_dirs``, whose mean is wanted; 1 or more.
        device: ``cpu``, ``cuda:<i>`` or ``mps``.
        out: Folder for the label maps.
        cases: Which; ``folds`` in the order of ``version_dirs``.
    """

    workspace_root: str
    project_id: int
    version_dirs: tuple[str, ...]
    choices: tuple[tuple[int, ...], ...]
    device: str
    out: str
    cases: tuple[HeldOutCase, ...]


def predict_members(
    workspace: Workspace,
    version_dirs: Sequence[Path],
    choices: Sequence[Sequence[int]],
    cases: Sequence[HeldOutCase],
    out: Path,
    *,
    device: str,
    on_case: Callable[[], None] = lambda: None,
) -> tuple[Failure, ...]:
    """Writes OUT/<i>/CASE_ID.png, (height, width) uint8, by the mean of each choice i of versions.

    The mean of probabilities, each version counting alike, without postprocessing: what nnU-Net's
    ``find_best_configuration`` compares. Arguments as of ``MembersSpec``.

    Returns:
        The cases that could not be predicted; they have no label map of any choice.

    Raises:
        PredictionError: A version can't be loaded, or the child ended before its time.
    """
    spec = MembersSpec(
        str(workspace.root.resolve()),
        workspace.project_id,
        tuple(str(folder.resolve()) for folder in version_dirs),
        tuple(tuple(choice) for choice in choices),
        device,
        str(out.resolve()),
        tuple(cases),
    )
    collected = Failures(on_case)
    work = "predicted with the ensemble's members"
    run_child(CHILD_MODULE, to_json(MembersSpec, spec), collected.read, work=work)
    return tuple(collected.found)

"""KeepLargest: the steps of nnU-Net's postprocessing, as a version keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.bookkeeping.documents import read_document, to_json
from converters.bookkeeping.files import read_json
from domain.errors import PredictionError
from training.evaluation import DicePerCase
from training.processes.networks import run_child
from training.versions.version_folder import POSTPROCESSING
from training.workspace import Workspace

CHILD_MODULE = "training.nnunet.find_postprocessing"
DICE = "dice_per_case.json"

KEEP_LARGEST = "remove_all_but_largest_component_from_segmentation"
"""nnU-Net's name of the one function its postprocessing is made of."""


@dataclass(frozen=True, slots=True)
class KeepLargest:
    """Of the pixels of these classes, taken together, only the largest connected part stays.

    Attributes:
        labels: The classes' integers, at least 1.
    """

    labels: tuple[int, ...]

    @classmethod
    def from_json(cls, function: str, kwargs: dict[str, Any]) -> KeepLargest:
        """A step as nnU-Net's postprocessing.json has it.

        Raises:
            ValueError: It is no function that nnloop knows, or not for integers of classes.
        """
        if function != KEEP_LARGEST or set(kwargs) != {"labels_or_regions"}:
            raise ValueError(f"unknown step {function!r} with {sorted(kwargs)}")
        value = kwargs["labels_or_regions"]
        labels = value if isinstance(value, list) else [value]
        if not labels or not all(type(label) is int and label > 0 for label in labels):
            raise ValueError(f"not integers of classes: {value!r}")
        return cls(tuple(labels))


@dataclass(frozen=True, slots=True)
class FoundSteps:
    """What was found on held-out label maps.

    Attributes:
        steps: In the order they are applied; none when nothing helped.
        dice_per_case: Held-out case id -> class -> Dice in [0, 1] after the steps, or None.
    """

    steps: tuple[KeepLargest, ...]
    dice_per_case: DicePerCase


@dataclass(frozen=True, slots=True)
class PostprocessingSpec:
    """What the child of ``find_steps`` does.

    Attributes:
        workspace_root: ``Workspace.root``.
        project_id: ``Workspace.project_id``.
        label_maps: Folder of CASE_ID.png.
        model_dir: Holds plans.json and dataset.json of a model that predicts these classes.
        out: Folder for postprocessing.json and .pkl, and for ``DICE``.
        class_values: Class names in integer order, background left out.
    """

    workspace_root: str
    project_id: int
    label_maps: str
    model_dir: str
    out: str
    class_values: tuple[str, ...]


def find_steps(
    workspace: Workspace,
    label_maps: Path,
    model_dir: Path,
    out: Path,
    class_values: tuple[str, ...],
) -> FoundSteps:
    """Lets nnU-Net decide on held-out label maps, in a child process.

    For processes that load no networks. Arguments as of ``PostprocessingSpec``; ``out`` exists.

    Raises:
        PredictionError: The child could not do its work.
    """
    spec = PostprocessingSpec(
        workspace_root=str(workspace.root.resolve()),
        project_id=workspace.project_id,
        label_maps=str(label_maps.resolve()),
        model_dir=str(model_dir.resolve()),
        out=str(out.resolve()),
        class_values=class_values,
    )
    run_child(CHILD_MODULE, to_json(PostprocessingSpec, spec), work="looked for the postprocessing")
    return FoundSteps(read_postprocessing(out), read_document(out / DICE, DicePerCase))


def read_postprocessing(version_dir: Path) -> tuple[KeepLargest, ...]:
    """The steps a version's predictions go through, in order; none where none were found to help.

    Raises:
        PredictionError: postprocessing.json is broken or names a step nnloop does not know.
    """
    path = version_dir / POSTPROCESSING
    if not path.exists():
        return ()
    try:
        value = read_json(path)
        functions, kwargs = value["postprocessing_fns"], value["postprocessing_kwargs"]
        pairs = zip(functions, kwargs, strict=True)
        return tuple(KeepLargest.from_json(function, given) for function, given in pairs)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise PredictionError(
            f"The postprocessing of {version_dir.name} can't be used: {error}",
            remedy="Restore the version's folder, or train again.",
        ) from error

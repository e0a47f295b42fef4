"""KeepLargest: the steps of nnU-Net's postprocessing, as a version keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.files import read_json
from domain.errors import PredictionError
from training.versions import POSTPROCESSING

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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictionError(
            f"The postprocessing of {version_dir.name} can't be used: {error}",
            remedy="Restore the version's folder, or train again.",
        ) from error

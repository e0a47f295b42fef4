"""A version's classes as labels of its project: renamed, become one, or gone since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from backend.pipeline.labels import is_left_out
from backend.store.models import VersionRow
from converters.relabel import relabelled
from domain.labels import LabelClass, LabelConfig

Floats = TypeVar("Floats", bound=npt.NDArray[np.float32])


@dataclass(frozen=True, slots=True)
class VersionLabels:
    """The classes that a version predicts.

    Attributes:
        config: The interface with these classes, in the version's integers. One that the interface
            lacks has the name it was trained under.
        trained: Name in ``config`` -> name it was trained under.
        targets: Per integer of the version the one that stands for it: that of the first class
            with the same name now.
    """

    config: LabelConfig
    trained: dict[str, str]
    targets: tuple[int, ...]

    @property
    def integers(self) -> list[int]:
        """Of the classes to draw."""
        return [c.index for c in self.config.group.classes]

    def merged(self, probabilities: Floats) -> Floats:
        """Adds up the probabilities of classes that are one now.

        Args:
            probabilities: (..., class, height, width) in [0, 1].

        Returns:
            The same shape; a class that another stands for has probability 0.
        """
        if self.targets == tuple(range(len(self.targets))):
            return probabilities
        found = np.zeros_like(probabilities)
        for index, target in enumerate(self.targets):
            found[..., target, :, :] += probabilities[..., index, :, :]
        return found

    def as_trained(self, result: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A result under the names the version was trained on: those that never change."""
        names = self.trained
        return relabelled(result, self.config.group, lambda name: names.get(name, name))[0]


def labels_of_version(
    config: LabelConfig, version: VersionRow, class_values: tuple[str, ...]
) -> VersionLabels:
    """The labelling interface with the integers of a version.

    A label added, removed or moved in Label Studio shifts the integers; the version keeps its own.

    Args:
        config: The project's interface; its classes answer to their former names.
        version: Which.
        class_values: Its classes as it was trained on them, in integer order.
    """
    classes: dict[str, LabelClass] = {}
    trained: dict[str, str] = {}
    targets = [0]
    for index, value in enumerate(class_values, start=1):
        found = config.group.class_by_value(value)
        if found is None and is_left_out(version, value):
            targets.append(index)
            continue
        name = found.value if found else value
        known = classes.setdefault(name, replace(found or LabelClass(index, value), index=index))
        trained.setdefault(name, value)
        targets.append(known.index)
    group = replace(config.group, classes=tuple(classes.values()))
    return VersionLabels(replace(config, group=group), trained, tuple(targets))

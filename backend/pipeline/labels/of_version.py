"""A version's classes as labels of its project: renamed, become one, or gone since."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.store.models import ProjectRow, RunRow, VersionRow
from backend.store.training import versions
from converters.label_studio.config.sparse_labels import as_predicted
from converters.label_studio.relabel import relabelled
from domain.errors import PredictionError
from domain.labels import LabelClass, LabelConfig
from domain.states import VersionOrigin
from training.versions.version_folder import read_version

_ROWS = 256
"""Rows of an image whose probabilities are added up at once."""

Floats = TypeVar("Floats", bound=npt.NDArray[np.float32])


def classes_of_version(session: Session, version: VersionRow) -> tuple[str, ...]:
    """A version's classes as it was trained on them, less those it is to do without.

    Empty when nobody knows any more: its folder is gone.
    """
    manifest = versions.manifest_of(session, version)
    if manifest:
        return manifest.class_values
    try:
        values = read_version(Path(version.path)).class_values
    except PredictionError:
        return ()
    return tuple(name for name in values if not is_left_out(version, name))


def reused_names(session: Session, project: ProjectRow, version: VersionRow) -> frozenset[str]:
    """Names by which a version means another class than the interface does now."""
    if not project.label_mapping:
        return frozenset()  # nearly always: nobody renamed anything
    return label_names_of(project).reused(mapping_at(session, version))


def mapping_at(session: Session, version: VersionRow) -> dict[str, str]:
    """The renames that were known when a version's training began; none of one without a run."""
    run = session.get(RunRow, version.run_id) if version.run_id is not None else None
    return run.settings.label_mapping if run else {}


def is_left_out(version: VersionRow, name: str) -> bool:
    """Whether a class of a version trained elsewhere was left out when it was imported."""
    return (
        VersionOrigin(version.origin) == VersionOrigin.IMPORTED
        and name.startswith("(")
        and name.endswith(")")
    )


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

    @property
    def names_as_trained(self) -> dict[int, str]:
        """Integer -> name it was trained under, of the classes to draw."""
        classes = self.config.group.classes
        return {c.index: self.trained.get(c.value, c.value) for c in classes}

    def merged(self, probabilities: Floats) -> Floats:
        """Adds up the probabilities of classes that are one now.

        Args:
            probabilities: (..., class, height, width) in [0, 1].

        Returns:
            The same shape; a class that another stands for has probability 0.
        """
        if self.targets == tuple(range(len(self.targets))):
            return probabilities
        summed = np.zeros_like(probabilities)
        for index, target in enumerate(self.targets):
            summed[..., target, :, :] += probabilities[..., index, :, :]
        return summed

    def merge(self, probabilities: npt.NDArray[np.float32]) -> None:
        """The same in place, some rows at a time: (class, height, width)."""
        for start in range(0, probabilities.shape[1], _ROWS):
            rows = probabilities[:, start : start + _ROWS]
            if (merged := self.merged(rows)) is not rows:
                rows[:] = merged

    def as_trained(self, result: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A result under the names the version was trained on: those that never change."""
        names = self.trained
        return relabelled(result, self.config.group, lambda name: names.get(name, name))[0]


def without(config: LabelConfig, reused: Collection[str]) -> LabelConfig:
    """An interface less the labels by which a version means another class."""
    classes = tuple(c for c in config.group.classes if c.value not in reused)
    return replace(config, group=replace(config.group, classes=classes))


def interfaces_of(session: Session, version: VersionRow) -> tuple[LabelConfig, LabelConfig]:
    """The interface of a version's project, and what of it the version means by the same names.

    Raises:
        LabelConfigError: It can't be used.
    """
    project = session.get_one(ProjectRow, version.project_id)
    config = label_config_of(project, project.settings)
    return config, without(config, reused_names(session, project, version))


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
        label_class = config.group.class_by_value(value)
        is_none = label_class is not None and label_class not in config.group.classes
        if is_none or (label_class is None and is_left_out(version, value)):
            targets.append(index)  # ignored by now, or background: not drawn
            continue
        name = label_class.value if label_class else value
        known = classes.setdefault(
            name, replace(label_class or LabelClass(index, value), index=index)
        )
        trained.setdefault(name, value)
        targets.append(known.index)
    config = as_predicted(config)
    group = replace(config.group, classes=tuple(classes.values()))
    return VersionLabels(replace(config, group=group), trained, tuple(targets))

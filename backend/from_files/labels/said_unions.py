"""Unions of classes that a source says itself (nnU-Net's regions), as settings of its folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from backend.settings import ProjectSettings
from converters.classes.dataset_unions import SaidUnions
from converters.classes.integers import classes_beside, unions_beside
from converters.classes.matching import match_classes
from domain.labels import LabelGroup


def unions_of_masks(
    masks: Path,
    classes: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    group: LabelGroup | None = None,
) -> SaidUnions:
    """Those that dataset.json says of a folder of masks, with the names that the classes get.

    Args:
        masks: The folder.
        classes: Names of the integers 1, 2, ...; () = as the files beside say.
        mapping: Their class -> ours; "" leaves it out.
        group: The labels of an interface that a person gave.

    Raises:
        FileFormatError: A file can't be read, or its unions can't be learned.
        SettingsError: A class is no label of the interface.
    """
    names = dict(enumerate(classes, start=1)) or classes_beside(masks).names
    mapping = mapping or {}
    ours = {k: mapping.get(name, name) for k, name in names.items()}
    said = unions_beside(masks, ours)
    if group is None or not said.unions:
        return said
    matched = match_classes(list(dict.fromkeys(names.values())), group, mapping).by_name
    labels = {k: matched[name] for k, name in names.items()}
    return unions_beside(masks, {k: label.value if label else "" for k, label in labels.items()})


def with_said_unions(
    settings: ProjectSettings, said: SaidUnions, before: SaidUnions, asked: Collection[str]
) -> ProjectSettings:
    """The settings with the source's unions, unless a person has set others.

    Args:
        settings: Of the folder.
        said: What the source says now.
        before: What it said when it was read last: where the settings are no other, nobody has set
            them.
        asked: Settings that a person gives now.
    """
    update: dict[str, tuple[str, ...]] = {}
    if "unions" not in asked and settings.unions in (before.unions, said.unions):
        update["unions"] = said.unions
        if "union_order" not in asked and settings.union_order in (before.order, said.order):
            update["union_order"] = said.order
    return settings.model_copy(update=update)

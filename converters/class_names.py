"""Which integer of a label map is which class: classes.json, and nnU-Net's dataset.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from domain.errors import FileFormatError

CLASSES = "classes.json"
"""Class name -> integer, as ``nnloop export --format masks-png`` writes it."""

DATASET = "dataset.json"
"""nnU-Net's description of a data set; its ``labels`` map class name -> integer."""

_IGNORE = "ignore"


def names_in_classes_json(folder: Path) -> dict[int, str]:
    """Integer -> class name of classes.json in a folder or above it; empty without the file.

    Raises:
        FileFormatError: It does not map names to integers.
    """
    for file in (folder / CLASSES, folder.parent / CLASSES):
        if file.is_file():
            value = _load(file)
            if not isinstance(value, dict) or not all(type(v) is int for v in value.values()):
                raise FileFormatError(
                    f"{file} does not map class names to integers.",
                    remedy='Write it like {"background": 0, "lumen": 1}, or use --classes.',
                )
            return {number: str(name) for name, number in value.items() if number != 0}
    return {}


def names_in_dataset_json(folder: Path) -> dict[int, str]:
    """Integer -> class name of nnU-Net's dataset.json in a folder or above it; empty without.

    The ignore label is no class and left out.

    Raises:
        FileFormatError: The file can't be read, or its labels are unions of classes.
    """
    for file in (folder / DATASET, folder.parent / DATASET):
        if file.is_file():
            value = _load(file)
            labels: Any = value.get("labels") if isinstance(value, dict) else None
            if not isinstance(labels, dict) or not all(type(v) is int for v in labels.values()):
                raise FileFormatError(
                    f"The labels in {file} are not one integer per class.",
                    remedy="Name the integers 1, 2, ... with --classes.",
                )
            return {n: str(name) for name, n in labels.items() if n != 0 and name != _IGNORE}
    return {}


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{file} can't be read: {error}.") from error

"""The ``labels`` of nnU-Net's dataset.json: classes, unions of classes, and what is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.classes.dataset_unions import IGNORE, ORDER, has_unions


def ignored_integer(dataset: Mapping[str, Any]) -> int | None:
    """The integer of ignored pixels in label maps; None where there are none."""
    found: int | None = dataset["labels"].get(IGNORE)
    return found


def painting_order(dataset: Mapping[str, Any]) -> tuple[int, ...]:
    """What a network's outputs are painted as, one after the other; () where they are classes.

    nnU-Net finds unions where any label has several integers.
    """
    labels = {name: value for name, value in dataset["labels"].items() if name != IGNORE}
    return tuple(int(k) for k in dataset[ORDER]) if has_unions(labels) else ()


def unions_of(dataset: Mapping[str, Any]) -> tuple[tuple[tuple[int, ...], int], ...]:
    """What each output of a network stands for, where it finds unions; () where it finds classes.

    Returns:
        Per output the integers of its classes, rising, and the one that it is painted as.
    """
    order = painting_order(dataset)
    named = [v for name, v in dataset["labels"].items() if name != IGNORE and v not in (0, [0])]
    members = [tuple(sorted(v)) if isinstance(v, list | tuple) else (int(v),) for v in named]
    return tuple(zip(members, order, strict=True)) if order else ()


def n_classes(dataset: Mapping[str, Any]) -> int:
    """The classes that a network tells apart, background among them, none of what is ignored."""
    order = painting_order(dataset)
    return max(order) + 1 if order else len(dataset["labels"].keys() - {IGNORE})

"""The ``labels`` of nnU-Net's dataset.json: classes, and pixels that are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IGNORE = "ignore"
"""nnU-Net's name of the label whose pixels teach nothing; its integer is the highest."""


def ignored_integer(dataset: Mapping[str, Any]) -> int | None:
    """The integer of ignored pixels in label maps; None where there are none."""
    found: int | None = dataset["labels"].get(IGNORE)
    return found


def n_outputs(dataset: Mapping[str, Any]) -> int:
    """The maps that a network gives: one per class, background first, none of what is ignored."""
    return len(dataset["labels"].keys() - {IGNORE})

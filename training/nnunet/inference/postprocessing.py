"""nnU-Net's postprocessing of one prediction: spurious parts become background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nnunetv2.postprocessing.remove_connected_components import (
    remove_all_but_largest_component_from_segmentation,
)

from domain.geometry import LabelMap
from training.versions.keep_largest import KeepLargest


def apply_postprocessing(label_map: LabelMap, steps: Sequence[KeepLargest]) -> LabelMap:
    """A label map after the steps, one after the other.

    Parts are connected over sides and corners, as in nnU-Net.

    Args:
        label_map: (height, width) uint8; it stays as it is.
        steps: A version's.
    """
    for step in steps:
        label_map = remove_all_but_largest_component_from_segmentation(label_map, list(step.labels))
    return label_map


def postprocessed(
    probabilities: npt.NDArray[np.float32], steps: Sequence[KeepLargest]
) -> npt.NDArray[np.float32]:
    """Probabilities whose most probable class is the postprocessed one.

    Args:
        probabilities: (class, height, width) float32 in [0, 1]; they stay as they are.
        steps: A version's.

    Returns:
        The same array where nothing is removed; else a copy in which the removed pixels are
        background for certain.
    """
    if not steps:
        return probabilities
    before = probabilities.argmax(axis=0).astype(np.uint8)
    removed = apply_postprocessing(before, steps) != before
    if not removed.any():
        return probabilities
    cleaned = probabilities.copy()
    cleaned[:, removed] = 0.0
    cleaned[0, removed] = 1.0
    return cleaned

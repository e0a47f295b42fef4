"""nnU-Net's postprocessing of one prediction: spurious parts become background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nnunetv2.postprocessing.remove_connected_components import (
    remove_all_but_largest_component_from_segmentation,
)

from domain.geometry import LabelMap
from domain.prediction import most_probable
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
        probabilities: (class, height, width) float32 in [0, 1].
        steps: A version's.

    Returns:
        The same array, changed where pixels are removed: they are background for certain.
    """
    if not steps:
        return probabilities
    before = most_probable(probabilities)
    removed = apply_postprocessing(before, steps) != before
    for index, one in enumerate(probabilities):
        one[removed] = 0.0 if index else 1.0
    return probabilities

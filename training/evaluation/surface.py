"""Distances between the outlines of two pixel sets: HD95 and mean surface distance.

The definitions follow Maier-Hein, Reinke et al., "Metrics reloaded", Nature Methods 21 (2024), and
Reinke et al., "Understanding metric-related pitfalls in image analysis validation", Nature Methods
21 (2024). Libraries that use the same names differ: see ``SurfaceDistances``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
"""(height, width) or (slice, height, width) bool."""

_PERCENTILE = 95.0


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """Distance of every boundary pixel of one set to the nearest boundary pixel of the other.

    Attributes:
        forward: (n,) float64, from the first set's boundary pixels, in the unit of the spacing.
        backward: (m,) float64, from the second set's.
    """

    forward: npt.NDArray[np.float64]
    backward: npt.NDArray[np.float64]

    @property
    def hausdorff(self) -> float:
        """The largest distance of all (Huttenlocher et al., IEEE TPAMI 15, 1993)."""
        return float(max(self.forward.max(), self.backward.max()))

    @property
    def hausdorff95(self) -> float:
        """HD95: the larger of the two directed 95 % quantiles, linearly interpolated.

        This is MONAI's convention. medpy takes the quantile of both directions pooled (never
        larger), DeepMind's surface-distance weights boundary elements by their length.
        """
        return float(
            max(np.percentile(self.forward, _PERCENTILE), np.percentile(self.backward, _PERCENTILE))
        )

    @property
    def mean(self) -> float:
        """Mean surface distance: the mean of the two directed means.

        Metrics Reloaded calls it MASD. Both outlines weigh the same, however long they are; ASSD
        (medpy's ``assd``, MONAI's symmetric average surface distance) pools the distances instead.
        SimpleITK's average Hausdorff distance of the outlines is the same number.
        """
        return float((self.forward.mean() + self.backward.mean()) / 2)


def boundary(mask: Mask) -> Mask:
    """The pixels of a set with one of their four neighbours outside it, or outside the image.

    Of a volume one of their six neighbours. The same as medpy and MONAI take.
    """
    edge: Mask = mask & ~ndimage.binary_erosion(mask)
    return edge


def surface_distances(
    first: Mask, second: Mask, spacing: Sequence[float] = (1.0, 1.0)
) -> SurfaceDistances:
    """Distances between the outlines of two sets, centre of pixel to centre of pixel.

    Args:
        first: (height, width) or (slice, height, width) bool with a pixel set or more.
        second: The same shape, with a pixel set or more.
        spacing: Size of a pixel along each axis, (vertical, horizontal) of a picture, above 0.

    Raises:
        ValueError: The shapes differ, or a set is empty: its distances are infinite.
    """
    if first.shape != second.shape:
        raise ValueError(f"masks differ in shape: {first.shape} and {second.shape}")
    if not first.any() or not second.any():
        raise ValueError("an empty set has no boundary to measure from")
    # Nothing outside the box round both matters, and images are mostly background.
    window = ndimage.find_objects((first | second).astype(np.uint8))[0]
    edge_1, edge_2 = boundary(first[window]), boundary(second[window])
    to_1 = ndimage.distance_transform_edt(~edge_1, sampling=spacing)
    to_2 = ndimage.distance_transform_edt(~edge_2, sampling=spacing)
    return SurfaceDistances(forward=to_2[edge_1], backward=to_1[edge_2])

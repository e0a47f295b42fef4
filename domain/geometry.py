"""Pixel-space geometry: Polygon, PixelMask and LabelMap.

Continuous pixel coordinates: pixel i covers [i, i + 1), its centre is i + 0.5. Points are (x, y),
arrays are (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

LabelMap: TypeAlias = npt.NDArray[np.uint8]
"""(height, width) uint8, 0 = background, k = the class with index k."""

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(height, width) grey, or (height, width, channel): an image as its file has it."""

Ring: TypeAlias = npt.NDArray[np.float64]
"""(n, 2) float64 points (x, y) in pixels, not closed (the first point is not repeated)."""


PIXEL_DECIMALS = 6
"""Pixel coordinates are read to a millionth of a pixel: finer than any hand, coarser than the error
of floats. So a coordinate that nnloop wrote comes back as the very same number."""

MAX_PIXELS = 80_000_000
"""A larger image is refused unread: 80 megapixels of RGB float32 are 1 GB."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """An exterior ring and its holes, in continuous pixel coordinates."""

    exterior: Ring
    holes: tuple[Ring, ...] = field(default=())

    @property
    def rings(self) -> tuple[Ring, ...]:
        """Exterior first, then the holes."""
        return (self.exterior, *self.holes)

    @property
    def n_vertices(self) -> int:
        """Points over all rings."""
        return sum(len(ring) for ring in self.rings)


@dataclass(frozen=True, slots=True, eq=False)
class PixelMask:
    """Some pixels of an image, as brushes and curved shapes have them.

    ``inside`` is (height, width) bool of a window; its first row is the image's row ``top``, its
    first column the image's column ``left``, both 0 or more.
    """

    top: int
    left: int
    inside: npt.NDArray[np.bool_]


Shape: TypeAlias = Polygon | PixelMask
"""What a region covers."""

"""Mask -> polygons whose pixel centres are exactly those inside."""

from __future__ import annotations

import itertools

import contourpy
import numpy as np
import numpy.typing as npt

from domain.geometry import Polygon


def parts_of(inside: npt.NDArray[np.bool_]) -> tuple[Polygon, ...]:
    """One polygon, with its holes, per connected part of ``inside``.

    Edges run half way between pixel centres, and cut corners; at the image border they run along
    the border. Rasterized by the pixel-centre rule, the polygons give ``inside`` back
    exactly. Parts that touch only at a corner are joined or not as contourpy decides.

    Args:
        inside: (height, width) bool, which pixels are inside.

    Returns:
        Polygons in pixels, from the top; no two of them overlap.
    """
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside.any(axis=0))
    if len(rows) == 0:
        return ()
    height, width = inside.shape
    top, bottom = max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, height)
    left, right = max(int(columns[0]) - 1, 0), min(int(columns[-1]) + 2, width)
    window = inside[top:bottom, left:right]
    # contourpy wants float64. The frame is outside: there the edge is the image border.
    signed = np.full((bottom - top + 2, right - left + 2), -1.0)
    np.copyto(signed[1:-1, 1:-1], 1.0, where=window)

    generator = contourpy.contour_generator(
        x=np.arange(left - 0.5, right + 1.0),
        y=np.arange(top - 0.5, bottom + 1.0),
        z=signed,
        fill_type=contourpy.FillType.OuterOffset,
    )
    polygons = []
    for points, offsets in zip(*generator.filled(0.0, np.inf), strict=True):
        # Every ring comes closed: its last point repeats the first.
        rings = [points[a : b - 1] for a, b in itertools.pairwise(offsets)]
        polygons.append(Polygon(rings[0], tuple(rings[1:])))
    return tuple(polygons)

"""Random masks, label maps and polygons for property tests."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domain.geometry import Polygon

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def size_of(array: npt.NDArray[Any]) -> tuple[int, int]:
    """(height, width) of an array whose last two axes they are."""
    height, width = array.shape[-2:]
    return height, width


def label_maps(n_classes: int = 2) -> st.SearchStrategy[npt.NDArray[np.uint8]]:
    """Small maps: noise has every hole, saddle and single pixel there is."""
    return hnp.arrays(np.uint8, sizes, elements=st.integers(0, n_classes))


def blobs(seed: int, size_hw: tuple[int, int], n_classes: int) -> npt.NDArray[np.uint8]:
    """A larger map with smooth parts, holes and islands."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    y, x = np.mgrid[:height, :width]
    label_map = np.zeros(size_hw, dtype=np.uint8)
    for _ in range(12):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(1, height / 3), rng.uniform(1, width / 3)
        inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        label_map[inside] = rng.integers(0, n_classes + 1)
    return label_map


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Any rings at all: self-crossing, repeated points, beyond the image."""
    coordinate = st.floats(-6, 30, allow_nan=False, width=32)
    ring = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9)
    rings = draw(st.lists(ring, min_size=1, max_size=3))
    arrays = [np.array(points, dtype=np.float64) for points in rings]
    return Polygon(arrays[0], tuple(arrays[1:]))


def spiky(seed: int) -> npt.NDArray[np.uint8]:
    """Two large parts with spikes and bays of one or two pixels, 8 to 60 pixels long."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(80, 220))
    label_map = np.zeros((size, size), dtype=np.uint8)
    for number in (1, 2):
        centre = rng.uniform(0.3, 0.7, 2) * size
        axes = rng.uniform(0.15, 0.35, 2) * size
        cv2.ellipse(
            label_map,
            centre.astype(int).tolist(),
            axes.astype(int).tolist(),
            float(rng.uniform(0, 180)),
            0,
            360,
            number,
            -1,
        )
    for _ in range(int(rng.integers(3, 14))):
        start = rng.uniform(0.2, 0.8, 2) * size
        angle = rng.uniform(0, 2 * np.pi)
        end = start + rng.uniform(8, 60) * np.array([np.cos(angle), np.sin(angle)])
        line = np.array([start, (start + end) / 2 + rng.normal(0, 4, 2), end]).round()
        index, width = int(rng.integers(0, 3)), int(rng.integers(1, 3))
        cv2.polylines(label_map, [line.astype(np.int32)], False, index, width)
    return label_map

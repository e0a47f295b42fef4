"""Small pictures of two discs, drawn so that nothing but what a test names tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.symmetries.decide import LabelledCase

SIDE = 64

Disc = tuple[int, float, float, float]
"""Class integer (0: drawn, not labelled), centre (y, x) as fractions of the side, grey value."""


def picture(
    discs: list[Disc], seed: int, radii: tuple[float, float] = (9, 9)
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Image and label map, (64, 64) uint8 each: discs of ``radii`` (y, x), moved a little."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = np.full((SIDE, SIDE), 60.0)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for k, y, x, grey in discs:
        centre = np.array([y, x]) * SIDE + rng.normal(0, 1.5, 2)
        inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 <= 1
        image[inside], labels[inside] = grey, k
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8), labels


def cases_of(
    pictures: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    groups: list[str] | None = None,
) -> list[LabelledCase]:
    return [
        LabelledCase(
            f"case_{i:03d}",
            groups[i] if groups else f"case_{i:03d}",
            label_map=lambda labels=labels: labels,  # type: ignore[misc]
            image=lambda image=image: image,  # type: ignore[misc]
        )
        for i, (image, labels) in enumerate(pictures)
    ]


def alike_left_and_right(n: int, start: int = 0) -> list[LabelledCase]:
    """Class 1 on the image's left, class 2 on its right, of one grey value."""
    pictures = [picture([(1, 0.5, 0.25, 150), (2, 0.5, 0.75, 150)], start + i) for i in range(n)]
    return cases_of(pictures)

"""Images that can be told apart: each has a bright disc and a dark square in places of its own.

In every other image the disc lies in the square, as a lumen in its wall.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.truth.drawing import polygon

HEIGHT, WIDTH = 128, 160
SIZE_HW = (HEIGHT, WIDTH)
CLASSES = ("disc", "square")
_CELL = 32
_NAME = re.compile(r"scene-(\d+)\.")
_LEVELS = np.array([90.0, 210.0, 20.0])
_NOISE = 10.0

Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Image number ``number`` of a session, (128, 160) as it is shown."""

    number: int
    seed: int

    @property
    def is_nested(self) -> bool:
        """Whether the disc lies in the square."""
        return self.number % 2 == 1

    @cached_property
    def rings(self) -> tuple[Ring, Ring]:
        """The outlines of the disc and the square, (n, 2) points x, y in pixels."""
        rng = np.random.default_rng([self.seed, 1, self.number])
        n_across = WIDTH // _CELL
        places = rng.permutation(n_across * (HEIGHT // _CELL))[:2]
        centres = np.stack([places % n_across, places // n_across], axis=1) * _CELL + _CELL / 2
        centres = centres + rng.uniform(-1.5, 1.5, (2, 2))
        radius, half = rng.uniform(11.5, 14), rng.uniform(10.5, 13.5)
        if self.is_nested:
            centres[0] = centres[1]
            radius, half = rng.uniform(7, 9), rng.uniform(14, 17)
        angles = np.linspace(0, 2 * np.pi, 18, endpoint=False) + rng.uniform(0, 0.3)
        disc = centres[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        square = centres[1] + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return disc, square

    @cached_property
    def truth(self) -> npt.NDArray[np.uint8]:
        """(128, 160) uint8: 1 disc, 2 square."""
        label_map = np.zeros(SIZE_HW, dtype=np.uint8)
        for index, ring in ((2, self.rings[1]), (1, self.rings[0])):
            label_map[polygon([(x, y) for x, y in ring], SIZE_HW).inside] = index
        return label_map

    @property
    def name(self) -> str:
        """The file's; every 7th is a turned JPEG, every 11th a WebP that browsers do not turn."""
        return f"scene-{self.number:05d}.{self._ending}"

    @property
    def file(self) -> bytes:
        """The file's bytes, the same at every call."""
        rng = np.random.default_rng([self.seed, 2, self.number])
        pixels = np.clip(rng.normal(_LEVELS[self.truth], _NOISE), 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees to the right
        stream = io.BytesIO()
        if self._ending == "jpg":
            turned = image.transpose(Image.Transpose.ROTATE_90)
            turned.save(stream, "JPEG", quality=95, exif=exif)
        elif self._ending == "webp":
            image.save(stream, "WEBP", lossless=True, exif=exif)
        else:
            image.save(stream, "PNG")
        return stream.getvalue()

    @property
    def _ending(self) -> str:
        if self.number % 7 == 3:
            return "jpg"
        return "webp" if self.number % 11 == 5 else "png"


def number_of(address: str) -> int | None:
    """The number of the scene in an image's address or name; None for another image."""
    found = _NAME.search(address)
    return int(found.group(1)) if found else None

"""Small images with a bright disc and a dim square in noise, and the polygons a person draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely

HEIGHT, WIDTH = 128, 160
CLASSES = ("disc", "square")

LABEL_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <PolygonLabels name="label" toName="image">
    <Label value="disc" background="#2A9DF4"/>
    <Label value="square" background="#F4A261"/>
  </PolygonLabels>
</View>"""


@dataclass(frozen=True, eq=False)
class Scene:
    """One image, (128, 160) uint8, and what is in it: (class, (n, 2) points x, y in pixels)."""

    image: npt.NDArray[np.uint8]
    shapes: tuple[tuple[str, npt.NDArray[np.float64]], ...]

    @property
    def png(self) -> bytes:
        """The image as a file."""
        return cv2.imencode(".png", self.image)[1].tobytes()

    @property
    def result(self) -> list[dict[str, Any]]:
        """The shapes as Label Studio's regions."""
        return [region(label, points, f"r{i}") for i, (label, points) in enumerate(self.shapes)]

    @property
    def label_map(self) -> npt.NDArray[np.uint8]:
        """(128, 160) uint8 by the pixel-centre rule, reckoned by shapely: 1 disc, 2 square."""
        drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        for label, points in self.shapes:
            inside = shapely.contains_xy(shapely.Polygon(points), x, y)
            drawn[inside] = CLASSES.index(label) + 1
        return drawn


def scene(seed: int) -> Scene:
    """A disc painted over a square; every fourth image has less contrast than noise."""
    rng = np.random.default_rng([271, seed])
    size = rng.uniform(30, 44)
    left, top = rng.uniform(3, WIDTH - size - 3), rng.uniform(3, HEIGHT - size - 3)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size + [left, top]
    radius = rng.uniform(15, 26)
    centre = rng.uniform([radius + 2] * 2, [WIDTH - radius - 2, HEIGHT - radius - 2])
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False) + rng.uniform(0, 0.3)
    disc = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = Scene(np.zeros((HEIGHT, WIDTH), np.uint8), (("square", square), ("disc", disc)))
    contrast = 0.2 if seed % 4 == 3 else 1.0
    levels = 90 + contrast * np.array([0.0, 90.0, -60.0])
    image = rng.normal(levels[found.label_map], 20.0)
    return Scene(np.clip(image, 0, 255).astype(np.uint8), found.shapes)


def region(label: str, points: npt.ArrayLike, region_id: str = "r0") -> dict[str, Any]:
    """One polygon, points in pixels, as Label Studio's JSON."""
    percent = np.asarray(points, dtype=np.float64) / [WIDTH, HEIGHT] * 100.0
    return {
        "id": region_id,
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"points": percent.tolist(), "closed": True, "polygonlabels": [label]},
    }

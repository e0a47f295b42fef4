"""What networks say of images at one moment: a row for each image, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from converters.pictures.overlay import drawn
from converters.pictures.panels import (
    BACKGROUND,
    Panel,
    RgbImage,
    captioned,
    compose,
    interpolation,
    legend_of,
    to_rgb,
)
from domain.geometry import LabelMap, Pixels
from domain.labels import LabelConfig

_SIDE_PX = 360


def predictions_alone(
    image: Pixels, name: str, predictions: Sequence[tuple[str, str, LabelMap]], config: LabelConfig
) -> RgbImage:
    """The image, and beside it what each fold predicts: of an image that nobody has labelled.

    Args:
        image: (height, width) or (height, width, 3), uint8 or uint16.
        name: What it is called.
        predictions: Title, what stands beside it, and (height, width) uint8.
        config: Gives names and colours.

    Returns:
        (rows, columns, 3) uint8 RGB; a panel is 360 pixels wide and at most as high.

    Raises:
        ValueError: The sizes differ.
    """
    height, width = image.shape[:2]
    scale = _SIDE_PX / max(height, width)
    size_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
    base = cv2.resize(to_rgb(image), size_wh, interpolation=interpolation(scale))
    base = np.asarray(base, dtype=np.uint8)
    panels = [Panel("Image", name, captioned(base, "not labelled", (_SIDE_PX, size_wh[1])))]
    for title, said, label_map in predictions:
        if label_map.shape != (height, width):
            raise ValueError(f"image {image.shape[:2]} and prediction {label_map.shape} differ")
        picture = drawn(base, label_map, config, scale)
        panels.append(Panel(title, said, captioned(picture, "", (_SIDE_PX, size_wh[1]))))
    sheet = compose(panels, legend_of(config), is_legend_wide=True)
    return np.asarray(sheet.canvas, dtype=np.uint8)


def stacked(pictures: Sequence[RgbImage]) -> RgbImage:
    """Pictures of any widths one below the other, on the background's colour.

    Args:
        pictures: One at least, (height, width, 3) uint8 RGB.
    """
    width = max(picture.shape[1] for picture in pictures)
    canvas = np.empty((sum(picture.shape[0] for picture in pictures), width, 3), np.uint8)
    canvas[:] = BACKGROUND
    top = 0
    for picture in pictures:
        canvas[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0]
    return canvas

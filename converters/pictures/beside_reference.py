"""A prediction beside its reference: outlines over the image, and where they differ."""

from __future__ import annotations

import cv2
import numpy as np

from converters.classes.colors import Rgb
from converters.pictures.overlay import drawn
from converters.pictures.panels import (
    BACKGROUND,
    Panel,
    RgbImage,
    compose,
    interpolation,
    legend_of,
    to_rgb,
)
from domain.geometry import LabelMap, Pixels
from domain.labels import LabelConfig

MISSED: Rgb = (240, 243, 248)
INVENTED: Rgb = (255, 45, 45)
WRONG_CLASS: Rgb = (150, 80, 255)
"""White, red, violet: of three brightnesses, so that they are told apart without hues, and none
of them a colour that classes have by default."""

_LEGEND = (("missed", MISSED), ("invented", INVENTED), ("wrong class", WRONG_CLASS))

_PANEL_WIDTH, _PANEL_HEIGHT = 480, 640
_NARROWEST = 320
"""A narrower panel would have no room for its caption."""

_OUTLINE_OPACITY = 0.08
_DIFFERENCE_OPACITY = 0.85
_DARKENED = 0.45
_NO_IMAGE = 40


def comparison(
    image: Pixels | None,
    reference: LabelMap,
    prediction: LabelMap,
    config: LabelConfig,
    *,
    title: str,
    measures: str,
    said: str = "",
) -> RgbImage:
    """Three panels side by side: reference, prediction, and the pixels in which they differ.

    Missed pixels are labelled in the reference only, invented ones in the prediction only; those
    of the wrong class are labelled in both.

    Args:
        image: (height, width) or (height, width, 3), uint8 or uint16; None draws on plain grey.
        reference: (height, width) uint8; higher than any class where nothing is known.
        prediction: (height, width) uint8.
        config: Gives names and colours.
        title: Stands above the first panel.
        measures: Stands above the last one.
        said: Stands above the one between them.

    Returns:
        (rows, columns, 3) uint8 RGB; a panel fills 480 x 640 (width x height) on its longer side.

    Raises:
        ValueError: The sizes differ.
    """
    height, width = reference.shape
    plain = np.full((height, width), _NO_IMAGE, dtype=np.uint8) if image is None else image
    if prediction.shape != reference.shape or plain.shape[:2] != reference.shape:
        raise ValueError(
            f"image {plain.shape[:2]}, reference {reference.shape} and prediction "
            f"{prediction.shape} must be of one size"
        )
    scale = min(_PANEL_WIDTH / width, _PANEL_HEIGHT / height)
    size_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
    base = cv2.resize(to_rgb(plain), size_wh, interpolation=interpolation(scale))
    base = np.asarray(base, dtype=np.uint8)
    # What the reference ignores, it does not differ in.
    known = np.where(reference >= config.group.ignore_index, reference, prediction)
    pictures = (
        ("Reference", title, drawn(base, reference, config, scale, _OUTLINE_OPACITY)),
        ("Prediction", said, drawn(base, prediction, config, scale, _OUTLINE_OPACITY)),
        ("Difference", measures, _difference(base, reference, known)),
    )
    panels = [Panel(name, subtitle, _widened(picture)) for name, subtitle, picture in pictures]
    return np.asarray(compose(panels, [*legend_of(config), *_LEGEND]).canvas, dtype=np.uint8)


def _widened(picture: RgbImage) -> RgbImage:
    missing = max(_NARROWEST - picture.shape[1], 0)
    sides = (missing // 2, missing - missing // 2)
    channels = [
        np.pad(picture[:, :, i], ((0, 0), sides), constant_values=BACKGROUND[i]) for i in range(3)
    ]
    return np.stack(channels, axis=2)


def _difference(base: RgbImage, reference: LabelMap, prediction: LabelMap) -> RgbImage:
    """Differing pixels coloured on the darkened image."""
    kinds = np.zeros((*reference.shape, 3), dtype=np.uint8)
    differs = reference != prediction
    kinds[differs] = WRONG_CLASS
    kinds[differs & (prediction == 0)] = MISSED
    kinds[differs & (reference == 0)] = INVENTED
    size_wh = (base.shape[1], base.shape[0])
    # Averaged when made smaller: a thin line of differences must not fall between the pixels.
    shrinks = size_wh[0] < reference.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    colors = cv2.resize(kinds, size_wh, interpolation=how).astype(np.float32)
    share = cv2.resize(differs.astype(np.float32), size_wh, interpolation=how)[:, :, np.newaxis]
    blended = base * _DARKENED * (1 - _DIFFERENCE_OPACITY * share) + colors * _DIFFERENCE_OPACITY
    return np.asarray(np.clip(blended, 0, 255), dtype=np.uint8)

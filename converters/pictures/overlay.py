"""Pictures for people: label maps over images, and truth, prediction, uncertainty side by side."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from converters.classes.colors import color_of
from converters.outlines.contours import parts_of
from converters.pictures.panels import (
    BACKGROUND,
    FAINT_TEXT,
    TEXT,
    Panel,
    RgbImage,
    Sheet,
    compose,
    font_of_size,
    interpolation,
    legend_of,
    to_rgb,
)
from domain.geometry import LabelMap, Pixels
from domain.labels import LabelClass, LabelConfig

FILL_OPACITY = 0.28
_IGNORED_DIMMED = 0.5
"""Of the brightness of pixels of which nobody knows what they are."""

_SUBPIXEL_BITS = 4

_PANEL_WIDTH = 480
_COLOR_MAP = cv2.COLORMAP_INFERNO


def overlay(
    image: Pixels, label_map: LabelMap, config: LabelConfig, opacity: float = FILL_OPACITY
) -> RgbImage:
    """The image with every class tinted in its colour and drawn round.

    Args:
        image: (height, width) or (height, width, 3); uint8 or uint16. 16 bits are stretched to
            the image's own range.
        label_map: (height, width) uint8.
        config: gives the colours; integers it lacks are not drawn.
        opacity: of the tint, in [0, 1].

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: if the sizes differ.
    """
    _check_size("label map", label_map, image)
    return drawn(to_rgb(image), label_map, config, 1.0, opacity)


def with_legend(picture: RgbImage, config: LabelConfig, caption: str = "") -> RgbImage:
    """The picture with the colours and names of the classes in a strip below.

    Args:
        picture: (height, width, 3) uint8 RGB.
        config: gives names and colours; the strip has as many rows as they need.
        caption: stands in a row of its own below them; "" = none.

    Returns:
        (height + strip, width, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    size = int(np.clip(width / 28, 11, 40))
    font = font_of_size(size)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    places: list[tuple[int, int, LabelClass]] = []
    x = margin = size // 2
    row = 0
    for label_class in config.group.classes:
        needed = round(1.4 * size + measure.textlength(label_class.value, font))
        if x > margin and x + needed > width - margin:
            x, row = margin, row + 1
        places.append((x, row, label_class))
        x += needed + size
    line = round(1.6 * size)
    n_rows = row + 1 + bool(caption)
    canvas = Image.new("RGB", (width, height + n_rows * line + margin), BACKGROUND)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for x, row, label_class in places:
        middle = height + margin // 2 + row * line + line // 2
        half = size // 2
        box = (x, middle - half, x + size, middle + half)
        draw.rounded_rectangle(box, size // 4, fill=color_of(label_class))
        draw.text((x + 1.4 * size, middle), label_class.value, TEXT, font, anchor="lm")
    if caption:
        middle = height + margin // 2 + (n_rows - 1) * line + line // 2
        draw.text((margin, middle), caption, FAINT_TEXT, font, anchor="lm")
    return np.asarray(canvas, dtype=np.uint8)


def prediction_panel(
    image: Pixels,
    truth: LabelMap,
    prediction: LabelMap,
    uncertainty: npt.NDArray[np.float32],
    config: LabelConfig,
) -> RgbImage:
    """Three panels side by side, with captions and legend: truth, prediction, uncertainty.

    Args:
        image: (height, width) or (height, width, 3); uint8 or uint16.
        truth: (height, width) uint8.
        prediction: (height, width) uint8.
        uncertainty: (height, width) float, 0 or more; shown from 0 to its own maximum.
        config: gives names and colours.

    Returns:
        (rows, columns, 3) uint8 RGB, every panel 480 pixels wide.

    Raises:
        ValueError: if the sizes differ.
    """
    for what, array in (("truth", truth), ("prediction", prediction), ("uncertainty", uncertainty)):
        _check_size(what, array, image)
    height, width = truth.shape
    scale = _PANEL_WIDTH / width
    size_wh = (_PANEL_WIDTH, max(round(height * scale), 1))
    base = cv2.resize(to_rgb(image), size_wh, interpolation=interpolation(scale))
    panels = (
        Panel("Truth", "as labelled", drawn(base, truth, config, scale)),
        Panel("Prediction", "nnU-Net", drawn(base, prediction, config, scale)),
        Panel("Uncertainty", "where the folds hesitate", heated(base, uncertainty)),
    )
    sheet = compose(panels, legend_of(config))
    _draw_scale(sheet, _PANEL_WIDTH, float(uncertainty.max(initial=0.0)))
    return np.asarray(sheet.canvas, dtype=np.uint8)


def _check_size(what: str, array: npt.NDArray[np.generic], image: Pixels) -> None:
    if array.shape != image.shape[:2]:
        raise ValueError(
            f"The {what} has the shape {array.shape}, the image {image.shape[:2]}; "
            "they must be equal."
        )


def drawn(
    base: RgbImage,
    label_map: LabelMap,
    config: LabelConfig,
    scale: float,
    opacity: float = FILL_OPACITY,
) -> RgbImage:
    """Tints and outlines on ``base``, which is ``scale`` times as wide as the label map.

    Args:
        base: (height * scale, width * scale, 3) uint8 RGB.
        label_map: (height, width) uint8.
        config: gives the colours; integers it lacks are not drawn, ignored pixels are darkened.
        scale: above 0.
        opacity: of the tint, in [0, 1].
    """
    group = config.group
    # Of a version the integers may have gaps: without ignored pixels the next one is any class's.
    picture = _dimmed(base, label_map == group.ignore_index) if group.has_ignore else base.copy()
    thickness = max(1, round(base.shape[1] / 320))
    for label_class in config.group.classes:
        color = color_of(label_class)
        parts = parts_of(label_map == label_class.index)
        # OpenCV's coordinate 0 is the centre of the first pixel, nnloop's its left edge.
        rings = [
            np.round((ring * scale - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
            for polygon in parts
            for ring in polygon.rings
        ]
        if not rings:
            continue
        tinted = picture.copy()
        cv2.fillPoly(tinted, rings, color, cv2.LINE_AA, _SUBPIXEL_BITS)
        picture = cv2.addWeighted(tinted, opacity, picture, 1 - opacity, 0)
        cv2.polylines(picture, rings, True, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return picture


def _dimmed(base: RgbImage, ignored: npt.NDArray[np.bool_]) -> RgbImage:
    """A copy, darker where nothing is known; ``ignored`` is of the label map's size."""
    if not ignored.any():
        return base.copy()
    size_wh = (base.shape[1], base.shape[0])
    share = cv2.resize(ignored.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST)
    dimmed = base * (1 - _IGNORED_DIMMED * share[:, :, np.newaxis])
    return np.asarray(dimmed, dtype=np.uint8)


def heated(
    base: RgbImage, uncertainty: npt.NDArray[np.float32], highest: float | None = None
) -> RgbImage:
    """A heat map over the greyed image: the more uncertain, the less of the image shows.

    Args:
        base: (rows, columns, 3) uint8 RGB.
        uncertainty: (height, width) float, 0 or more; stretched to the size of ``base``.
        highest: What is shown as the most; None: its own maximum.

    Returns:
        Of the shape of ``base``.
    """
    highest = float(uncertainty.max(initial=0.0)) if highest is None else highest
    relative = uncertainty.astype(np.float32) / (highest if highest > 0 else 1.0)
    size_wh = (base.shape[1], base.shape[0])
    relative = np.clip(cv2.resize(relative, size_wh, interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
    heat = _inferno(relative)
    grey = cv2.cvtColor(cv2.cvtColor(base, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    opacity = np.sqrt(relative)[:, :, np.newaxis]
    blended = 0.55 * grey * (1 - opacity) + heat * opacity
    return np.asarray(np.clip(blended, 0, 255), dtype=np.uint8)


def _inferno(relative: npt.NDArray[np.float32]) -> RgbImage:
    """(rows, columns) in [0, 1] -> RGB. The darkest fifth of the scale is left out."""
    levels = np.round(50 + relative * 205).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels, _COLOR_MAP)[:, :, ::-1], dtype=np.uint8)


def _draw_scale(sheet: Sheet, width: int, highest: float) -> None:
    """The colour bar of the heat map, from 0 to the highest value."""
    canvas, (x, y) = sheet.canvas, sheet.last_legend_xy
    draw = ImageDraw.Draw(canvas)
    font = font_of_size(15)
    label = f"{highest:.2f}"
    text_width = int(draw.textlength(label, font))
    bar_wh = (width - text_width - 30, 10)
    ramp = np.repeat(np.linspace(0, 1, bar_wh[0], dtype=np.float32)[np.newaxis], bar_wh[1], axis=0)
    draw.text((x, y), "0", FAINT_TEXT, font, anchor="lm")
    canvas.paste(Image.fromarray(_inferno(ramp)), (x + 20, y - bar_wh[1] // 2))
    draw.text((x + width, y), label, FAINT_TEXT, font, anchor="rm")

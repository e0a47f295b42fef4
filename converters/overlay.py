"""Pictures for people: label maps over images, and truth, prediction, uncertainty side by side."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from converters.colors import Rgb, color_of
from converters.contours import positive_parts
from converters.images import Pixels
from domain.geometry import LabelMap
from domain.labels import LabelClass, LabelConfig

RgbImage = npt.NDArray[np.uint8]
"""(height, width, 3) uint8."""

_FILL_OPACITY = 0.28
_SUBPIXEL_BITS = 4

_BACKGROUND: Rgb = (17, 20, 28)
_TEXT: Rgb = (236, 240, 246)
_FAINT_TEXT: Rgb = (150, 160, 176)
_PANEL_WIDTH = 480
_MARGIN = 20
_CAPTION_HEIGHT = 44
_LEGEND_HEIGHT = 52
_COLOR_MAP = cv2.COLORMAP_INFERNO


def overlay(image: Pixels, label_map: LabelMap, config: LabelConfig) -> RgbImage:
    """The image with every class tinted in its colour and drawn round.

    Args:
        image: (height, width) or (height, width, 3); uint8 or uint16. 16 bits are stretched to
            the image's own range.
        label_map: (height, width) uint8.
        config: gives the colours; integers it lacks are not drawn.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: if the sizes differ.
    """
    _check_size("label map", label_map, image)
    return _drawn(_to_rgb(image), label_map, config, scale=1.0)


def with_legend(picture: RgbImage, config: LabelConfig) -> RgbImage:
    """The picture with the colours and names of the classes in a strip below.

    Args:
        picture: (height, width, 3) uint8 RGB.
        config: gives names and colours; the strip has as many rows as they need.

    Returns:
        (height + strip, width, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    size = int(np.clip(width / 28, 11, 40))
    font = _font(size)
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
    canvas = Image.new("RGB", (width, height + (row + 1) * line + margin), _BACKGROUND)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for x, row, label_class in places:
        middle = height + margin // 2 + row * line + line // 2
        half = size // 2
        box = (x, middle - half, x + size, middle + half)
        draw.rounded_rectangle(box, size // 4, fill=color_of(label_class))
        draw.text((x + 1.4 * size, middle), label_class.value, _TEXT, font, anchor="lm")
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
    base = cv2.resize(_to_rgb(image), size_wh, interpolation=_interpolation(scale))
    panels = (
        _Panel("Truth", "as labelled", _drawn(base, truth, config, scale)),
        _Panel("Prediction", "nnU-Net", _drawn(base, prediction, config, scale)),
        _Panel("Uncertainty", "where the folds hesitate", _heated(base, uncertainty)),
    )
    return _composed(panels, size_wh, config, highest=float(uncertainty.max(initial=0.0)))


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    title: str
    subtitle: str
    picture: RgbImage


def _check_size(what: str, array: npt.NDArray[np.generic], image: Pixels) -> None:
    if array.shape != image.shape[:2]:
        raise ValueError(
            f"The {what} has the shape {array.shape}, the image {image.shape[:2]}; "
            "they must be equal."
        )


def _to_rgb(image: Pixels) -> RgbImage:
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        stretched = (image.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
        image = stretched.astype(np.uint8)
    rgb = image if image.ndim == 3 else np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return np.asarray(rgb, dtype=np.uint8)


def _interpolation(scale: float) -> int:
    return cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA


def _drawn(base: RgbImage, label_map: LabelMap, config: LabelConfig, scale: float) -> RgbImage:
    """Tints and outlines on ``base``, which is ``scale`` times as wide as the label map."""
    picture = base.copy()
    half_way = np.ones(label_map.shape, dtype=np.float32)
    thickness = max(1, round(base.shape[1] / 320))
    for label_class in config.group.classes:
        color = color_of(label_class)
        parts = positive_parts(half_way, label_map == label_class.index)
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
        picture = cv2.addWeighted(tinted, _FILL_OPACITY, picture, 1 - _FILL_OPACITY, 0)
        cv2.polylines(picture, rings, True, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return picture


def _heated(base: RgbImage, uncertainty: npt.NDArray[np.float32]) -> RgbImage:
    """A heat map over the greyed image: the more uncertain, the less of the image shows."""
    highest = float(uncertainty.max(initial=0.0))
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


def _composed(
    panels: tuple[_Panel, ...], size_wh: tuple[int, int], config: LabelConfig, highest: float
) -> RgbImage:
    width, height = size_wh
    canvas_wh = (
        len(panels) * (width + _MARGIN) + _MARGIN,
        _CAPTION_HEIGHT + height + _LEGEND_HEIGHT + _MARGIN // 2,
    )
    canvas = Image.new("RGB", canvas_wh, _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    corners = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), 40, fill=255)
    corners = corners.resize((width, height), Image.Resampling.LANCZOS)
    middle = _CAPTION_HEIGHT // 2 + 2
    for number, panel in enumerate(panels):
        left = _MARGIN + number * (width + _MARGIN)
        draw.text((left, middle), panel.title, _TEXT, _font(19), anchor="lm")
        after = left + draw.textlength(panel.title, _font(19)) + 9
        draw.text((after, middle + 1), panel.subtitle, _FAINT_TEXT, _font(15), anchor="lm")
        canvas.paste(Image.fromarray(panel.picture), (left, _CAPTION_HEIGHT), corners)
    legend_middle = _CAPTION_HEIGHT + height + _LEGEND_HEIGHT // 2
    _draw_classes(draw, (_MARGIN, legend_middle), 2 * width + _MARGIN, config)
    scale_left = _MARGIN + 2 * (width + _MARGIN)
    _draw_scale(canvas, draw, (scale_left, legend_middle), width, highest)
    return np.asarray(canvas, dtype=np.uint8)


def _draw_classes(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, config: LabelConfig
) -> None:
    """A coloured square and the name of each class, as many as fit."""
    x, y = float(at[0]), at[1]
    font = _font(16)
    for label_class in config.group.classes:
        needed = 23 + draw.textlength(label_class.value, font)
        if x + needed > at[0] + width:
            draw.text((x, y), "...", _FAINT_TEXT, font, anchor="lm")
            return
        box = (x, y - 7, x + 14, y + 7)
        draw.rounded_rectangle(box, 4, fill=color_of(label_class))
        draw.text((x + 23, y), label_class.value, _TEXT, font, anchor="lm")
        x += needed + 26


def _draw_scale(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    width: int,
    highest: float,
) -> None:
    """The colour bar of the heat map, from 0 to the highest value."""
    x, y = at
    font = _font(15)
    label = f"{highest:.2f}"
    text_width = int(draw.textlength(label, font))
    bar_wh = (width - text_width - 30, 10)
    ramp = np.repeat(np.linspace(0, 1, bar_wh[0], dtype=np.float32)[np.newaxis], bar_wh[1], axis=0)
    draw.text((x, y), "0", _FAINT_TEXT, font, anchor="lm")
    canvas.paste(Image.fromarray(_inferno(ramp)), (x + 20, y - bar_wh[1] // 2))
    draw.text((x + width, y), label, _FAINT_TEXT, font, anchor="rm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font: nothing to install, the same picture on every machine."""
    return ImageFont.load_default(size)

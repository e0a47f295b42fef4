"""Pictures side by side, with captions above and a legend below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from converters.classes.colors import Rgb, color_of
from domain.geometry import Pixels
from domain.labels import LabelConfig

RgbImage = npt.NDArray[np.uint8]
"""(height, width, 3) uint8."""

BACKGROUND: Rgb = (17, 20, 28)
TEXT: Rgb = (236, 240, 246)
FAINT_TEXT: Rgb = (150, 160, 176)
MARGIN = 20

CAPTION_PX = 20
"""Height of a caption inside a panel."""

_CAPTION_HEIGHT = 44
_LEGEND_HEIGHT = 52

Legend = Sequence[tuple[str, Rgb]]
"""Names and their colours, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture (height, width, 3) uint8 with what stands above it."""

    title: str
    subtitle: str
    picture: RgbImage


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Panels on a canvas; ``last_legend_xy`` is the middle of the legend's start at the last."""

    canvas: Image.Image
    last_legend_xy: tuple[int, int]


def compose(panels: Sequence[Panel], legend: Legend, *, is_legend_wide: bool = False) -> Sheet:
    """Puts panels of one size side by side; the legend ends where the last panel begins.

    Where ``is_legend_wide`` it has the whole width.
    """
    height, width = panels[0].picture.shape[:2]
    canvas_wh = (
        len(panels) * (width + MARGIN) + MARGIN,
        _CAPTION_HEIGHT + height + _LEGEND_HEIGHT + MARGIN // 2,
    )
    canvas = Image.new("RGB", canvas_wh, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    corners = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), 40, fill=255)
    corners = corners.resize((width, height), Image.Resampling.LANCZOS)
    middle = _CAPTION_HEIGHT // 2 + 2
    for number, panel in enumerate(panels):
        left = MARGIN + number * (width + MARGIN)
        draw.text((left, middle), panel.title, TEXT, font_of_size(19), anchor="lm")
        after = left + draw.textlength(panel.title, font_of_size(19)) + 9
        subtitle = _shortened(draw, panel.subtitle, left + width - after)
        draw.text((after, middle + 1), subtitle, FAINT_TEXT, font_of_size(15), anchor="lm")
        canvas.paste(Image.fromarray(panel.picture), (left, _CAPTION_HEIGHT), corners)
    legend_middle = _CAPTION_HEIGHT + height + _LEGEND_HEIGHT // 2
    last_left = MARGIN + (len(panels) - 1) * (width + MARGIN)
    legend_width = canvas_wh[0] if is_legend_wide else last_left
    _draw_legend(draw, (MARGIN, legend_middle), legend_width - 2 * MARGIN, legend)
    return Sheet(canvas, (last_left, legend_middle))


def _draw_legend(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, legend: Legend
) -> None:
    """A coloured square and the name of each entry, as many as fit."""
    x, y = float(at[0]), at[1]
    for name, color in legend:
        needed = 23 + draw.textlength(name, font_of_size(16))
        if x + needed > at[0] + width:
            draw.text((x, y), "...", FAINT_TEXT, font_of_size(16), anchor="lm")
            return
        draw.rounded_rectangle((x, y - 7, x + 14, y + 7), 4, fill=color)
        draw.text((x + 23, y), name, TEXT, font_of_size(16), anchor="lm")
        x += needed + 26


def _shortened(draw: ImageDraw.ImageDraw, text: str, width: float, size: int = 15) -> str:
    """As much of a text as fits."""
    if draw.textlength(text, font_of_size(size)) <= width:
        return text
    while text and draw.textlength(text + "...", font_of_size(size)) > width:
        text = text[:-1]
    return text + "..." if text else ""


def captioned(picture: RgbImage, caption: str, size_wh: tuple[int, int]) -> RgbImage:
    """A picture in the middle of a tile of the background's colour, its caption above it.

    Args:
        picture: (height, width, 3) uint8, no larger than the tile.
        caption: As much of it as fits is drawn.
        size_wh: (width, height) of the tile without the caption, in pixels.

    Returns:
        (height + CAPTION_PX, width, 3) uint8.
    """
    width, height = size_wh
    canvas = Image.new("RGB", (width, height + CAPTION_PX), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    text = _shortened(draw, caption, width, 13)
    draw.text((0, CAPTION_PX // 2), text, FAINT_TEXT, font_of_size(13), anchor="lm")
    left, top = (width - picture.shape[1]) // 2, (height - picture.shape[0]) // 2
    canvas.paste(Image.fromarray(picture), (left, CAPTION_PX + top))
    return np.asarray(canvas, dtype=np.uint8)


def legend_of(config: LabelConfig) -> Legend:
    """The classes with their colours."""
    return [(label_class.value, color_of(label_class)) for label_class in config.group.classes]


def to_rgb(image: Pixels) -> RgbImage:
    """(height, width[, 3]) uint8 or uint16 as RGB; 16 bits are stretched to their own range."""
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        stretched = (image.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
        image = stretched.astype(np.uint8)
    rgb = image if image.ndim == 3 else np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return np.asarray(rgb, dtype=np.uint8)


def interpolation(scale: float) -> int:
    """OpenCV's way to resize a picture to ``scale`` times its size."""
    return cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA


def font_of_size(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font: nothing to install, the same picture on every machine."""
    return ImageFont.load_default(size)

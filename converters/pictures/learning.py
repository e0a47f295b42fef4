"""Pictures of networks learning: truth and prediction of each fold, epoch after epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from converters.pictures.overlay import drawn
from converters.pictures.panels import (
    Panel,
    RgbImage,
    captioned,
    compose,
    interpolation,
    legend_of,
)
from domain.geometry import LabelMap
from domain.labels import LabelConfig

MOST_STRIPS = 6
"""Folds side by side: more would be too small to see, or a picture too wide to send."""

MOST_STEPS = 60
"""Pictures of a film: a few seconds, a few MB."""

_SIDE_PX = {1: 420, 2: 380, 3: 300}
_SMALL_PX = 240
_GAP_PX = 8


@dataclass(frozen=True, slots=True, eq=False)
class StripFrame:
    """One prediction (height, width) uint8, after how many epochs, and what is said of it."""

    epoch: int
    label_map: LabelMap
    said: str


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """What one fold said of one image, in the order of epochs.

    Attributes:
        title: Of the fold.
        name: Of the image.
        image: (height, width, 3) uint8 RGB.
        truth: (height, width) uint8.
        frames: One at least.
    """

    title: str
    name: str
    image: RgbImage
    truth: LabelMap
    frames: tuple[StripFrame, ...]


def steps_of(strips: Sequence[Strip], most: int = MOST_STEPS) -> list[int]:
    """The epochs at which there is a picture: those of all strips, evenly thinned to ``most``.

    The first and the last are always among them.
    """
    epochs = sorted({frame.epoch for strip in strips for frame in strip.frames})
    if len(epochs) <= most:
        return epochs
    places = np.linspace(0, len(epochs) - 1, most).round().astype(int)
    return [epochs[place] for place in places]


def learning_frames(
    strips: Sequence[Strip], config: LabelConfig, steps: Sequence[int]
) -> Iterator[RgbImage]:
    """A picture for each step: every fold's truth, and beside or below it what it predicted.

    A fold shows its newest prediction of then; before its first one, the image alone.

    Args:
        strips: At most ``MOST_STRIPS``; sizes may differ between them.
        config: Gives names and colours.
        steps: Epochs, as of ``steps_of``.

    Yields:
        (height, width, 3) uint8 RGB, all of one size, both sides even, whatever the images' size.
    """
    side = _SIDE_PX.get(len(strips), _SMALL_PX)
    cells = [_Cell.of(strip, config, side) for strip in strips]
    size_wh = (side, max(cell.base.shape[0] for cell in cells))
    is_beside = len(strips) == 1
    for epoch in steps:
        panels = [cell.panel(epoch, size_wh, is_beside) for cell in cells]
        sheet = compose(panels, legend_of(config), is_legend_wide=True)
        picture = np.asarray(sheet.canvas, dtype=np.uint8)
        odd = [(0, side % 2) for side in picture.shape[:2]]
        yield np.pad(picture, [*odd, (0, 0)], mode="edge")


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """A strip at the size at which it is shown."""

    strip: Strip
    config: LabelConfig
    base: RgbImage
    scale: float
    truth: RgbImage

    @classmethod
    def of(cls, strip: Strip, config: LabelConfig, side: int) -> _Cell:
        height, width = strip.truth.shape
        scale = side / max(height, width)
        size_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
        resized = cv2.resize(strip.image, size_wh, interpolation=interpolation(scale))
        base = np.asarray(resized, dtype=np.uint8)
        return cls(strip, config, base, scale, drawn(base, strip.truth, config, scale))

    def panel(self, epoch: int, size_wh: tuple[int, int], is_beside: bool) -> Panel:
        newest = None
        for frame in self.strip.frames:
            if frame.epoch <= epoch:
                newest = frame
        picture, said = self.base, "has not begun"
        if newest is not None:
            picture = drawn(self.base, newest.label_map, self.config, self.scale)
            said = newest.said
        tiles = [
            captioned(self.truth, f"truth of {self.strip.name}", size_wh),
            captioned(picture, "prediction", size_wh),
        ]
        gap_hw = (tiles[0].shape[0], _GAP_PX) if is_beside else (_GAP_PX, size_wh[0])
        gap = np.broadcast_to(tiles[0][0, 0], (*gap_hw, 3))
        together = np.concatenate([tiles[0], gap, tiles[1]], axis=1 if is_beside else 0)
        return Panel(self.strip.title, said, np.asarray(together, dtype=np.uint8))

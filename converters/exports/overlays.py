"""Overlays: the image with every class tinted, drawn round, and named in a legend."""

from __future__ import annotations

from pathlib import Path

from converters.exports.exporter import Format, Needs, Records, Written
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from converters.images.image_pixels import write_png
from converters.pictures.overlay import overlay, with_legend
from domain.labels import LabelConfig


class Overlays:
    """overlays/NAME.png, RGB, as large as the image with the legend below."""

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config = out, config

    def write(self, item: ExportItem) -> Written:
        """Draws one picture."""
        label_map = item.label_map
        picture = with_legend(overlay(item.pixels, label_map, self._config), self._config)
        name = f"overlays/{item.stem}.png"
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, picture)
        return Written((name,))

    def finish(self, records: Records) -> None:
        """There is no file about all tasks."""


FORMAT = Format(
    "overlays",
    "PNG pictures: image, translucent classes, contours, legend",
    Needs.PIXELS,
    Overlays,
)

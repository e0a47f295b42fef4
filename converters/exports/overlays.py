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
        drawn = overlay(item.pixels, label_map, self._config)
        picture = with_legend(drawn, self._config, _caption(item))
        name = f"overlays/{item.stem}.png"
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, picture)
        return Written((name,))

    def finish(self, records: Records) -> None:
        """There is no file about all tasks."""


def _caption(item: ExportItem) -> str:
    """Who says what a picture shows, where that is no person."""
    if item.prediction is None:
        return ""
    version, score = item.prediction.get("model_version"), item.prediction.get("score")
    by = f" by {version}" if version else ""
    return f"predicted{by}" + (f", score {score:.2f}" if isinstance(score, int | float) else "")


FORMAT = Format(
    "overlays",
    "PNG pictures: image, classes, contours, legend; of an unlabelled task its prediction",
    Needs.PIXELS,
    Overlays,
    version=2,
    takes_predictions=True,
)

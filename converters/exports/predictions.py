"""Label Studio predictions: a JSON file that its import takes as it is."""

from __future__ import annotations

from pathlib import Path

from converters.bookkeeping.files import json_list, write_bytes
from converters.exports.exporter import Format, Needs, Records, Written
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from domain.labels import LabelConfig

PREDICTIONS = "predictions.json"
_FIELDS = ("model_version", "score", "result")


class Predictions:
    """predictions.json: tasks with ``data`` and ``predictions``."""

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out = out

    def write(self, item: ExportItem) -> Written:
        """Keeps the task for ``finish``."""
        rows = [{k: p[k] for k in _FIELDS if p.get(k) is not None} for p in item.predictions]
        return Written((), {"id": item.task.id, "data": item.task.data, "predictions": rows})

    def finish(self, records: Records) -> None:
        """Writes predictions.json."""
        write_bytes(self._out / PREDICTIONS, json_list(records()))


FORMAT = Format(
    "predictions",
    "Label Studio tasks with the serving version's predictions, ready for import",
    Needs.PREDICTIONS,
    Predictions,
)

"""FORMATS: every format nnloop imports."""

from __future__ import annotations

from converters.imports.readers import coco, cvat, labelme, masks, via, voc, yolo
from converters.imports.source import ImportFormat
from domain.errors import SettingsError

FORMATS: dict[str, ImportFormat] = {
    f.name: f
    for f in (
        masks.FORMAT,
        coco.FORMAT,
        yolo.FORMAT,
        via.FORMAT,
        labelme.FORMAT,
        cvat.FORMAT,
        voc.FORMAT,
    )
}


def format_by_name(name: str) -> ImportFormat:
    """The row of a format; SettingsError when there is none of that name."""
    if name not in FORMATS:
        raise SettingsError(
            f"There is no import format {name!r}.", remedy=f"Choose one of {', '.join(FORMATS)}."
        )
    return FORMATS[name]

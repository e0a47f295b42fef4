"""FORMATS: every format nnloop imports."""

from __future__ import annotations

from converters.imports.readers import coco, cvat, label_studio, labelme, masks, via, voc, yolo
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
        label_studio.FORMAT,
    )
}


_ALSO = {"labelstudio": label_studio.NAME}
"""Other spellings."""


def format_by_name(name: str) -> ImportFormat:
    """The row of a format; SettingsError when there is none of that name."""
    name = _ALSO.get(name, name)
    if name not in FORMATS:
        raise SettingsError(
            f"There is no import format {name!r}.", remedy=f"Choose one of {', '.join(FORMATS)}."
        )
    return FORMATS[name]

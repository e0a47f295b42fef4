"""FORMATS: every format nnloop exports."""

from __future__ import annotations

from converters.exports import coco, masks, nifti, nnunet, overlays, predictions, table, yolo
from converters.exports.exporter import Format
from domain.errors import SettingsError

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        nnunet.FORMAT,
        nnunet.NIFTI,
        masks.PNG,
        masks.NPY,
        masks.PER_CLASS,
        nifti.FORMAT,
        coco.FORMAT,
        yolo.FORMAT,
        predictions.FORMAT,
        overlays.FORMAT,
        table.FORMAT,
    )
}


def format_by_name(name: str) -> Format:
    """The row of a format; SettingsError when there is none of that name."""
    if name not in FORMATS:
        raise SettingsError(
            f"There is no export format {name!r}.", remedy=f"Choose one of {', '.join(FORMATS)}."
        )
    return FORMATS[name]

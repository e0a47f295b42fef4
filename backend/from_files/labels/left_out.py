"""left_out.csv: everything of a source that was not trained on, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.bookkeeping.files import write_bytes
from converters.exports.table import csv_line
from domain.annotation import LeftOut

LEFT_OUT = "left_out.csv"

_COLUMNS = ("while", "what", "reason", "region", "message")


def write_left_out(out: Path, read: Sequence[LeftOut], trained: Sequence[LeftOut] = ()) -> None:
    """Writes all of it into the folder, a row each; where there is nothing, no file is left.

    Args:
        out: Of the model.
        read: While the source was read.
        trained: While the images were prepared for training.
    """
    path = out / LEFT_OUT
    if not read and not trained:
        path.unlink(missing_ok=True)
        return
    rows = [
        (
            when,
            "used, with a remark" if note.is_remark else "left out",
            note.reason,
            note.region_id,
            f"{note.message} {note.remedy}".strip(),
        )
        for when, notes in (("reading", read), ("training", trained))
        for note in notes
    ]
    write_bytes(path, map(csv_line, [_COLUMNS, *rows]))

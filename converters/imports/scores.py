"""Scores of another program's predictions: from a table, else what stands for not knowing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from converters.addresses.upload_names import name_keys, same_name_key
from converters.imports.source import ImportedImage, text_of
from domain.annotation import LeftOut
from domain.errors import FileFormatError

UNKNOWN = 0.5
"""Score of a prediction of which nobody said how good it is. Queues don't go by it."""

_NAMES = ("image", "name", "file", "file_name", "filename", "case", "case_id", "id")
_SCORE = "score"


class Score(NamedTuple):
    """What Label Studio is sent; ``is_stated``: the program said it, else it is ``UNKNOWN``."""

    value: float
    is_stated: bool


NOT_KNOWN = Score(UNKNOWN, is_stated=False)


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores by the names of images.

    Attributes:
        path: The file they are from.
        by_key: Key of a name (``same_name_key``), with ending and without -> the score; None where
            rows of the table disagree about it.
    """

    path: Path
    by_key: Mapping[str, float | None] = field(default_factory=dict)

    def of(self, image: ImportedImage, path: Path | None) -> float | None:
        """An image's score; None where the table has none, or several."""
        names = [image.file_name, *([path.name] if path is not None else []), *image.stems]
        for name in names:
            last = PurePosixPath(name.replace("\\", "/")).name
            for key in (same_name_key(name), *name_keys(last), same_name_key(_stem(last))):
                if key in self.by_key:
                    return self.by_key[key]
        return None


def read_scores(path: Path) -> ScoreTable:
    """A CSV file with a header, a column of images' names and the column ``score``.

    The names stand in the column ``image`` (or name, file, file_name, filename, case, case_id, id),
    else in the first; with their ending or without. ``predictions.csv`` of ``nnloop predict`` is
    one.

    Raises:
        FileFormatError: It is none, or a score is no number in [0, 1]; the message has the line.
    """
    text = text_of(path)
    sample = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if sample.count(";") else ",")
    columns = {name.strip().casefold(): name for name in rows.fieldnames or () if name}
    if _SCORE not in columns or len(columns) < 2:
        raise FileFormatError(
            f"{path.name} has the columns {', '.join(columns) or 'of no table'}.",
            remedy="Give a CSV file whose first line names its columns: image,score.",
        )
    named = next((columns[n] for n in _NAMES if n in columns), None)
    named = named or next(name for key, name in columns.items() if key != _SCORE)
    found: dict[str, float | None] = {}
    for row in rows:
        name, score = (row.get(named) or "").strip(), (row.get(columns[_SCORE]) or "").strip()
        if not name or not score:
            continue  # an image that was not scored
        value = _number(score)
        if value is None:
            raise FileFormatError(
                f"{path.name}, line {rows.line_num}: the score of {name!r} is {score[:40]!r}.",
                remedy="A score is the expected quality, a number from 0 (bad: it is labelled "
                "first) to 1.",
            )
        last = PurePosixPath(name.replace("\\", "/")).name
        for key in {same_name_key(n) for n in (name, last, _stem(last))}:
            found[key] = value if found.setdefault(key, value) == value else None
    return ScoreTable(path, found)


def score_of_prediction(prediction: Mapping[str, Any]) -> Score:
    """Of a prediction in Label Studio's JSON: its own, else that of its least certain region."""
    own = _number(prediction.get("score"))
    if own is not None:
        return Score(own, is_stated=True)
    result = prediction.get("result")
    entries = result if isinstance(result, list) else []
    regions = [_number(entry.get("score")) for entry in entries if isinstance(entry, dict)]
    known = [value for value in regions if value is not None]
    return Score(min(known), is_stated=True) if known else NOT_KNOWN


def no_score(image: ImportedImage, table: ScoreTable | None) -> LeftOut:
    """The remark about a prediction without a score."""
    where = table.path.name if table is not None else "The source"
    return LeftOut(
        image.number,
        "no_score",
        f"{where} has no score of {image.file_name!r}: its prediction gets {UNKNOWN}, which says "
        "that nothing is known.",
    )


def _number(value: object) -> float | None:
    """A finite number in [0, 1], also as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0.0 <= found <= 1.0 else None


def _stem(name: str) -> str:
    return name[:-7] if name.lower().endswith(".nii.gz") else PurePosixPath(name).stem

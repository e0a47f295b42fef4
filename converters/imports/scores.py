"""Scores of another program's predictions: from a table, else what stands for not knowing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
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


class _Row(NamedTuple):
    """A row of a table: the folders before an image's name, and its score."""

    folders: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores by the names of images.

    Attributes:
        path: The file they are from.
        by_key: Key of a name (``same_name_key``), with ending and without -> rows of such images.
    """

    path: Path
    by_key: Mapping[str, Sequence[_Row]] = field(default_factory=dict)

    def of(
        self, image: ImportedImage, path: Path | None, repeated: Collection[str] = ()
    ) -> float | None:
        """An image's score; None where the table has none, or several.

        Folders that differ say nothing where the name alone tells the image from all others.

        Args:
            image: Of the source.
            path: Its file, where it was found.
            repeated: Keys of names that several images of the source have.
        """
        names = [image.file_name, *([path.name] if path is not None else []), *image.stems]
        folders = _folders(image.file_name)
        for name in names:
            last = _last(name)
            for key in (*name_keys(last), same_name_key(_stem(last))):
                rows = self.by_key.get(key, ())
                if rows:
                    return _only(rows, folders, is_alone=key not in repeated)
        return None


def _only(rows: Sequence[_Row], folders: tuple[str, ...], *, is_alone: bool) -> float | None:
    """The score of those rows that may be of an image in these folders; None where they differ."""
    fitting = [row for row in rows if _is_end(row.folders, folders)]
    exact = [row for row in fitting if row.folders == folders]
    found = exact or fitting
    if not found and is_alone and len({row.folders for row in rows}) == 1:
        found = list(rows)
    values = {row.value for row in found}
    return values.pop() if len(values) == 1 else None


def _is_end(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the shorter of two paths is the end of the longer one."""
    n = min(len(one), len(other))
    return n == 0 or one[-n:] == other[-n:]


def _folders(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name.replace("\\", "/")).parts[:-1]
    return tuple(same_name_key(part) for part in parts if part not in ("/", ".", ".."))


def _last(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def read_scores(path: Path) -> ScoreTable:
    """A CSV file with a header, a column of images' names and the column ``score``.

    The names stand in the column ``image`` (or name, file, file_name, filename, case, case_id, id),
    else in the first; with their ending or without. ``predictions.csv`` of ``nnloop predict`` is
    one.

    Raises:
        FileFormatError: It is none, or a score is no number in [0, 1]; the message has the line.
    """
    try:
        return _table(path, text_of(path))
    except csv.Error as error:  # a field of more than 131,072 characters
        raise FileFormatError(
            f"{path.name} is no CSV file that can be read: {error}.",
            remedy="Give a CSV file whose first line names its columns: image,score.",
        ) from error


def _table(path: Path, text: str) -> ScoreTable:
    # Lines may end as on old Macs.
    lines = io.StringIO(text, newline=None)
    is_parted_by_semicolons = ";" in lines.readline()
    lines.seek(0)
    rows = csv.DictReader(lines, delimiter=";" if is_parted_by_semicolons else ",")
    columns = {name.strip().casefold(): name for name in rows.fieldnames or () if name}
    if _SCORE not in columns or len(columns) < 2:
        raise FileFormatError(
            f"{path.name} has the columns {', '.join(columns) or 'of no table'}.",
            remedy="Give a CSV file whose first line names its columns: image,score.",
        )
    named = next((columns[n] for n in _NAMES if n in columns), None)
    named = named or next(name for key, name in columns.items() if key != _SCORE)
    found: dict[str, list[_Row]] = {}
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
        last = _last(name)
        for key in {same_name_key(last), same_name_key(_stem(last))}:
            found.setdefault(key, []).append(_Row(_folders(name), value))
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
        f"{where} has no score of {image.file_name!r}, or several: its "
        f"prediction gets {UNKNOWN}, which says that nothing is known.",
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
    """Without the ending of a file: what follows a dot in 'scan.v2' or '1.2.840' is none."""
    if name.lower().endswith(".nii.gz"):
        return name[:-7]
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix[1:].isalpha() else name

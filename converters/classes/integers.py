"""Which integer or colour of a mask is which class: classes.json, dataset.json, labelmap.txt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from converters.classes.dataset_unions import (
    IGNORE,
    SaidUnions,
    class_names,
    has_unions,
    read_unions,
)
from converters.classes.reserved_names import class_of_label
from domain.errors import FileFormatError
from domain.text import is_file_name

CLASSES = "classes.json"
"""Class name -> integer, as ``nnloop export --format masks-png`` writes it."""

DATASET = "dataset.json"
"""nnU-Net's description of a data set; its ``labels`` map class name -> integer."""

LABELMAP = "labelmap.txt"
"""CVAT's: a line ``name:r,g,b:parts:actions`` per class."""

_MOST_DIGITS = 18

_BACKGROUND = "background"

TRUE_BACKGROUND = "(background)"
"""In classes.json, the integer of background where ``background`` might be taken for a class."""

IGNORED = "(ignored)"
"""In classes.json, the integer of pixels that are neither class nor background: not known."""


@dataclass(frozen=True, slots=True)
class ClassNames:
    """What stands beside a folder of masks about their classes; empty where nothing does.

    ``names`` are by integer, ``ignored`` the integers that are neither class nor background,
    ``background`` is that of background (0 is background too), ``colors`` the names by ``#rrggbb``
    ("" = background), ``folders`` the folders of classes that have one each.
    """

    names: dict[int, str] = field(default_factory=dict)
    ignored: frozenset[int] = field(default=frozenset())
    colors: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    background: int = 0


def classes_beside(folder: Path) -> ClassNames:
    """Reads classes.json, else nnU-Net's dataset.json, and labelmap.txt, in a folder or above it.

    Raises:
        FileFormatError: One of them can't be read, or is not what it should be.
    """
    colors: dict[str, str] = {}
    for file in (folder / LABELMAP, folder.parent / LABELMAP):
        if file.is_file():
            colors = _labelmap(file)
            break
    for file in (folder / CLASSES, folder.parent / CLASSES):
        if file.is_file():
            folders = _folders(file, folder)
            if folders:
                return ClassNames(colors=colors, folders=folders)
            return replace(_classes(file), colors=colors)
    for file in (folder / DATASET, folder.parent / DATASET):
        if file.is_file():
            names, ignored = _dataset(file)
            return ClassNames(names, ignored, colors)
    return ClassNames(colors=colors)


def unions_beside(folder: Path, names: Mapping[int, str]) -> SaidUnions:
    """The unions of classes that nnU-Net's dataset.json says, in a folder or above it.

    Args:
        folder: Of masks.
        names: Name of the class by integer; "" and what is missing is left out.

    Raises:
        FileFormatError: It can't be read, or its unions can't be learned.
    """
    for file in (folder / DATASET, folder.parent / DATASET):
        if file.is_file():
            value = _load(file)
            return read_unions(value if isinstance(value, dict) else {}, names)
    return SaidUnions()


def unions_said(folder: Path) -> bool:
    """Whether nnU-Net's dataset.json, in a folder or above it, has unions of classes."""
    for file in (folder / DATASET, folder.parent / DATASET):
        if file.is_file():
            value = _load(file)
            return has_unions(value.get("labels") if isinstance(value, dict) else None)
    return False


def integers_of(names: Mapping[str, int], background: int) -> dict[str, int]:
    """What classes.json says of masks whose background need not be 0; the reverse of ``_classes``.

    Args:
        names: Class -> its integer in the masks, ignored pixels too.
        background: That of background.
    """
    said = {_BACKGROUND: background, **names}
    is_clear = _BACKGROUND not in names and (background == 0 or not _are_classes_alone(said))
    return said if is_clear else {TRUE_BACKGROUND: background, **names}


def _are_classes_alone(value: Mapping[str, int]) -> bool:
    """Whether these are the integers of classes, one of which is called as the background."""
    return sorted(value.values()) == list(range(1, len(value) + 1))


def _classes(file: Path) -> ClassNames:
    """Names by integer without the background, the integer of ignored pixels and of background."""
    value = _load(file)
    if not isinstance(value, dict) or not all(type(v) is int for v in value.values()):
        raise FileFormatError(
            f"{file} does not map class names to integers.",
            remedy='Write it like {"background": 0, "lumen": 1}, or use --classes.',
        )
    _check_each_has_its_own(file, value.items())
    known, background = dict(value), 0
    if TRUE_BACKGROUND in known:
        background = known.pop(TRUE_BACKGROUND)
    elif _BACKGROUND in known and (0 in known.values() or not _are_classes_alone(known)):
        # Otherwise it is a label that somebody has called so.
        background = known.pop(_BACKGROUND)
    if background != 0 and 0 in known.values():
        raise FileFormatError(
            f"{file} says that the background is {background}, and that 0 is a class.",
            remedy="In masks that are read 0 is background: write them with nnloop predict without "
            "--values, or with 0 first.",
        )
    names = {number: str(name) for name, number in known.items() if number != 0}
    ignored = frozenset(number for number, name in names.items() if name == IGNORED)
    names = {number: name for number, name in names.items() if number not in ignored}
    return ClassNames(names, ignored, background=background)


def _check_each_has_its_own(file: Path, pairs: Iterable[tuple[Any, int]]) -> None:
    """FileFormatError where two names are one integer: one of them would be lost."""
    found: dict[int, str] = {}
    for name, number in pairs:
        if number in found:
            raise FileFormatError(
                f"{file} gives the integer {number} to {found[number]!r} and to {str(name)!r}.",
                remedy="Give each its own, or name the integers 1, 2, ... with --classes.",
            )
        found[number] = str(name)


def _folders(file: Path, folder: Path) -> dict[str, str]:
    """Class -> folder, as ``nnloop export --format masks-per-class`` writes it; else empty."""
    value = _load(file)
    pairs = value.items() if isinstance(value, dict) else ()
    are_names = all(
        isinstance(name, str) and is_file_name(name) and name not in (".", "..")
        for _, name in pairs
    )
    if not pairs or not are_names or any("\\" in name for _, name in pairs):
        return {}
    return dict(pairs) if any((folder / name).is_dir() for _, name in pairs) else {}


def _dataset(file: Path) -> tuple[dict[int, str], frozenset[int]]:
    """Names by integer without the background, and nnU-Net's ignore label."""
    value = _load(file)
    labels: Any = value.get("labels") if isinstance(value, dict) else None
    if has_unions(labels):
        ignored = labels.get(IGNORE)
        return class_names(value), frozenset([ignored] if type(ignored) is int else [])
    pairs = []
    for name, number in labels.items() if isinstance(labels, dict) else ():
        if isinstance(number, str) and _is_whole(name):  # the Decathlon's {"1": "lesion"}
            name, number = number, int(name)
        elif isinstance(number, list) and len(number) == 1:
            number = number[0]
        elif (isinstance(number, str) and _is_whole(number)) or (
            isinstance(number, float) and number.is_integer()
        ):
            number = int(number)
        pairs.append((name, number))
    if not pairs or not all(type(number) is int for _, number in pairs):
        raise FileFormatError(
            f"The labels in {file} are not one integer per class.",
            remedy="Name the integers 1, 2, ... with --classes.",
        )
    _check_each_has_its_own(file, pairs)
    names = {
        number: class_of_label(str(name), number)
        for name, number in pairs
        if number != 0 and name != IGNORE
    }
    return names, frozenset(number for name, number in pairs if name == IGNORE)


def _labelmap(file: Path) -> dict[str, str]:
    colors = {}
    for line in _text(file).splitlines():
        name, _, rest = line.strip().partition(":")
        parts = rest.partition(":")[0].split(",")
        if line.lstrip().startswith("#") or not name:
            continue
        if len(parts) != 3 or not all(_is_whole(p.strip()) and int(p) < 256 for p in parts):
            raise FileFormatError(
                f"{file} has the line {line[:80]!r}.",
                remedy="Write it as CVAT does: name:255,0,0:parts:actions.",
            )
        red, green, blue = map(int, parts)
        colors[f"#{red:02x}{green:02x}{blue:02x}"] = "" if name == "background" else name
    return colors


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number; Python refuses those of thousands of digits."""
    return text.isdecimal() and len(text) <= _MOST_DIGITS


def _load(file: Path) -> Any:
    try:
        return json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{file} can't be read: {error}.") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{file} can't be read: {error}.") from error

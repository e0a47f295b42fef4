"""Images of nnU-Net's data sets whose channels are files of their own: NAME_0000, NAME_0001, ..."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from converters.bookkeeping.files import file_names
from converters.classes.integers import DATASET
from converters.masks.label_map_files import NIFTI_SUFFIXES
from converters.masks.mask_folders import FIRST_CHANNEL
from domain.errors import FileFormatError

_CHANNEL = re.compile(r"(?P<stem>.+)_(?P<number>\d{4})(?P<ending>\.nii\.gz|\.[^.]+)", re.IGNORECASE)
_NUMBERED = re.compile(r"\d{1,9}")
_NUMBER = re.compile(r"^\d+_")
_COLOR_WORD = re.compile(r"(red|green|blue)$")
_COLORS = ("R", "G", "B")
_NO_FIELD = re.compile(r"\W+")


def channels_of(labels: Path, images: Path, stems: Iterable[str]) -> tuple[str, ...]:
    """Names of the channels that lie in files of their own, in their order; () for one file each.

    The names are those of dataset.json beside the labels, as fields of a task's data can be called.
    One file of three named R, G and B is a colour image.

    Args:
        labels: Folder of the masks.
        images: Folder of the images.
        stems: Names of the masks without ending.

    Raises:
        FileFormatError: dataset.json names one channel, and images have several.
    """
    known = set(stems)
    n_files = 1
    for name in file_names(images):
        match = _CHANNEL.fullmatch(name)
        # Frames that are numbered so have masks of their own.
        if match and match["stem"] in known and f"{match['stem']}_{match['number']}" not in known:
            n_files = max(n_files, int(match["number"]) + 1)
    names = _names_in(labels)
    by_image = _images_in_color(names) or names
    if n_files == 1 and len(by_image) < 2:
        return ()
    chosen = by_image if n_files <= len(by_image) else names
    if len(chosen) == 1:
        raise FileFormatError(
            f"{DATASET} names one channel ({chosen[0]!r}), and images in {images} have {n_files}.",
            remedy=f"Correct channel_names in {DATASET}, or move the other files away.",
        )
    return _as_fields(chosen or [f"channel_{number}" for number in range(n_files)])


def channel_files(first: Path, n: int) -> list[Path | None]:
    """The files of an image's channels; None for one that is not there.

    Args:
        first: That of the first (``NAME_0000``).
        n: How many there are.
    """
    match = _CHANNEL.fullmatch(first.name)
    if match is None or f"_{match['number']}" != FIRST_CHANNEL:
        return [first, *[None] * (n - 1)]
    names = file_names(first.parent)
    found: list[Path | None] = [first]
    for number in range(1, n):
        stem = f"{match['stem']}_{number:04d}"
        same = f"{stem}{match['ending']}"
        others = [name for name in sorted(names) if _is_called(name, stem)]
        name = same if same in names else next(iter(others), "")
        found.append(first.parent / name if name else None)
    return found


def n_image_files(names: Sequence[str]) -> int:
    """How many files an image has whose channels are called so; 0: three, or one in colour.

    Args:
        names: ``channel_names`` of a dataset.json in their order, nnloop's numbers before them too.
    """
    plain = [_NUMBER.sub("", name).strip().casefold() for name in names]
    short = [_COLOR_WORD.sub(lambda match: match[0][0], name).upper() for name in plain]
    if len(names) > 1 and (colored := _images_in_color(short)):
        return len(colored)
    is_ours = all(map(_NUMBER.match, names))  # images of their own, or they were R, G and B
    return len(names) if is_ours or len(names) != len(_COLORS) else 0


def is_further_channel(path: Path, n: int) -> bool:
    """Whether a file is one of the channels behind the first of an image that is there.

    Args:
        path: The file.
        n: Channels of an image.
    """
    match = _CHANNEL.fullmatch(path.name)
    if match is None or not 0 < int(match["number"]) < n:
        return False
    first = f"{match['stem']}{FIRST_CHANNEL}"
    return any(_is_called(name, first) for name in file_names(path.parent))


def _is_called(name: str, stem: str) -> bool:
    match = _CHANNEL.fullmatch(name)
    return match is not None and f"{match['stem']}_{match['number']}" == stem


def volume_of_channel(stem: str, number: int, images: Path) -> Path | None:
    """The NIfTI file of one channel of an image; None where it is not there."""
    for ending in NIFTI_SUFFIXES:
        path = images / f"{stem}_{number:04d}{ending}"
        if path.is_file():
            return path
    return None


def _names_in(labels: Path) -> list[str]:
    """``channel_names`` (or the Decathlon's ``modality``) by their numbers; [] without."""
    for file in (labels / DATASET, labels.parent / DATASET):
        try:
            value: Any = json.loads(file.read_text(encoding="utf-8-sig"))
        # Whoever reads the classes says what is wrong with it.
        except (OSError, ValueError, RecursionError):
            continue
        names = value.get("channel_names", value.get("modality")) if isinstance(value, dict) else {}
        if not isinstance(names, dict) or not all(map(_NUMBERED.fullmatch, names)):
            return []
        return [str(names[key]) for key in sorted(names, key=int)]
    return []


def _images_in_color(names: Sequence[str]) -> list[str]:
    """What images are called whose names come as 't1 R', 't1 G', 't1 B'; [] where they do not."""
    if not names or len(names) % len(_COLORS):
        return []
    found = []
    for start in range(0, len(names), len(_COLORS)):
        before = [
            name.removesuffix(color) if name.endswith(color) else None
            for name, color in zip(names[start:], _COLORS, strict=False)
        ]
        if before[0] is None or len(set(before)) > 1:
            return []
        found.append(before[0].strip())
    return found


def _as_fields(names: Sequence[str]) -> tuple[str, ...]:
    """Names that fields of a task's data can have, each once."""
    fields: list[str] = []
    for number, name in enumerate(names):
        field = _NO_FIELD.sub("_", name).strip("_") or f"channel_{number}"
        while field in fields:
            field = f"{field}_{number}"
        fields.append(field)
    return tuple(fields)

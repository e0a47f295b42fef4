"""YOLO: a text file per image, a line per object, in fractions of the image's size."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from converters.bookkeeping.files import file_names
from converters.imports.find import IMAGE_ENDINGS
from converters.imports.readers.shapes import box_around, ring_of
from converters.imports.source import (
    ImportedImage,
    ImportedShape,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Notes,
    text_of,
)
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import Polygon
from domain.text import counted

_NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_NO_LABELS = frozenset({*_NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt"})
_FAR = 2.0
"""A fraction beyond this is no fraction: the file holds pixels."""

_ENTRY = re.compile(r"^\s+(?:-\s*|(?P<key>['\"]?\d{1,9}['\"]?)\s*:\s*)(?P<name>\S.*?)\s*$")
_FLOW = re.compile(
    r"""(?:(?P<key>\d{1,9})\s*:\s*)?(?P<name>'[^']*'|"[^"]*"|[^\s,\[\]{}'"][^,\[\]{}]*)"""
)


@dataclass(frozen=True, slots=True)
class _Labels:
    """A label file, its ``image``, and the ``folders`` that its name needs to be told apart."""

    path: Path
    folders: tuple[str, ...]
    image: Path | None


@dataclass(frozen=True, slots=True)
class _DataSet:
    """What data.yaml or classes.txt says. ``has_keypoints``: points follow the box of a line."""

    names: Mapping[int, str] = field(default_factory=dict)
    has_keypoints: bool = False


def read_yolo(path: Path, options: ImportOptions) -> ImportSource:
    """Reads a data set of YOLO in order of its label files.

    ``path`` is its folder (``images`` and ``labels`` in it, at any depth, or label files beside
    images), its folder ``labels``, or its data.yaml. Lines of 4 numbers are boxes, of 6 and more
    polygons, rotated boxes among them; one more is a confidence. An image without a label file is
    not labelled, one with an empty file has nothing in it. Classes are called as
    ``options.classes`` says (0, 1, ...), else as data.yaml or classes.txt does, else ``class_0``,
    ``class_1``, ...

    Raises:
        FileFormatError: There are no label files.
    """
    root = path.parent if path.name == "labels" or not path.is_dir() else path
    found = list(_label_files(root)) if path.exists() else []
    if not found:
        raise FileFormatError(
            f"{path} holds no label files of YOLO.",
            remedy="Give the folder with 'images' and 'labels' in it, or its data.yaml.",
        )
    data_set = _data_set(root, path)
    names = dict(enumerate(options.classes)) or data_set.names
    number = 0
    for number, labels in enumerate(found, start=1):
        try:
            yield _image(number, root, labels, names, data_set.has_keypoints)
        except FileFormatError as error:
            yield LeftOut(number, "malformed_image", error.in_full)
    for name in _without_labels(found):
        number += 1
        yield LeftOut(number, "not_labelled", f"The image {name!r} has no label file.")


def _label_files(root: Path) -> Iterator[_Labels]:
    folders = sorted(p for p in root.rglob("labels") if p.is_dir())
    for folder in folders or [root]:
        images = folder.parent / "images" if folders else folder
        # Splits (train/labels, valid/labels) may each have an image of this name.
        split = images.relative_to(root).parts if len(folders) > 1 else ()
        for path in sorted(folder.rglob("*.txt") if folders else folder.glob("*.txt")):
            if path.name in _NO_LABELS or path.name.startswith("."):
                continue
            inside = path.parent.relative_to(folder).parts
            image = _image_of(images.joinpath(*inside), path.stem)
            if image is not None or folders:
                yield _Labels(path, (*split, *inside), image)


def _image_of(folder: Path, stem: str) -> Path | None:
    for form in ("NFC", "NFD"):  # macOS writes the second
        name = unicodedata.normalize(form, stem)
        for ending in IMAGE_ENDINGS:
            for written in (ending, ending.upper()):
                if (folder / (name + written)).is_file():
                    return folder / (name + written)
    return None


def _without_labels(found: list[_Labels]) -> Iterator[str]:
    """Images beside images that have labels."""
    known = {labels.image for labels in found}
    for folder in sorted({labels.image.parent for labels in found if labels.image is not None}):
        for name in sorted(file_names(folder)):
            if name.lower().endswith(IMAGE_ENDINGS) and folder / name not in known:
                yield name


def _image(
    number: int, root: Path, labels: _Labels, names: Mapping[int, str], has_keypoints: bool
) -> ImportedImage:
    text = text_of(labels.path)
    image = labels.image
    name = image.name if image is not None else f"{labels.path.stem}.png"
    file_name = "/".join((*labels.folders, name))
    notes = Notes(number, file_name)
    regions = []
    lines = [line.split() for line in text.splitlines()]
    for i, words in enumerate(lines, start=1):
        if not words:
            continue
        try:
            class_number, polygon = _object(words, has_keypoints)
        except ValueError as error:
            notes.add(i, "malformed_region", str(error))
            continue
        if len(words) % 2 == 0 and len(words) > 7 and not has_keypoints:
            notes.add(i, "confidence", "has a number beside its pairs, taken for a confidence")
        if names and class_number not in names:
            notes.add(i, "no_class", f"has the class {class_number}, which has no name")
            continue
        regions.append(ImportedShape(names.get(class_number, f"class_{class_number}"), (polygon,)))
    digest = hashlib.sha256((text + json.dumps(sorted(names.items()))).encode())
    return ImportedImage(
        number=number,
        key=labels.path.relative_to(root).as_posix(),
        stamp=digest.hexdigest(),
        file_name=file_name,
        size_hw=None,
        regions=tuple(regions),
        notes=tuple(notes.items),
        is_empty=not any(lines),
        stems=(PurePosixPath(name).stem,),
        path=image,
        is_relative=True,
    )


def _object(words: list[str], has_keypoints: bool) -> tuple[int, Polygon]:
    """Class number and polygon, in fractions; ValueError says what is wrong."""
    try:
        class_number, *values = (float(word) for word in words)
    except ValueError:
        raise ValueError("is no line of numbers") from None
    if not class_number.is_integer() or class_number < 0:
        raise ValueError(f"has the class {words[0][:20]!r}, which is no whole number")
    if not all(map(math.isfinite, values)) or any(abs(value) > _FAR for value in values):
        raise ValueError("holds numbers that are no fractions of the image's size (0 to 1)")
    if has_keypoints and len(values) > 4:
        values = values[:4]
    if len(values) in (4, 5):  # the fifth is a prediction's confidence
        x, y, width, height = values[:4]
        return int(class_number), box_around((x, y), (width, height))
    if len(values) > 6 and len(values) % 2 and 0 <= values[-1] <= 1:
        values.pop()  # so is the last of a predicted polygon
    if len(values) < 6 or len(values) % 2:
        raise ValueError(
            f"has {counted(len(values), 'number')}, neither a box nor pairs of x and y"
        )
    points = [values[i : i + 2] for i in range(0, len(values), 2)]
    return int(class_number), Polygon(ring_of(points))


def _data_set(root: Path, path: Path) -> _DataSet:
    files = [path] if path.is_file() else []
    files += [
        folder / name
        for folder in (root, root.parent)
        for name in ("data.yaml", "data.yml", "dataset.yaml")
    ]
    for file in files:
        if file.suffix.lower() in (".yaml", ".yml") and file.is_file():
            text = text_of(file)
            has_keypoints = re.search(r"^kpt_shape\s*:", text, re.MULTILINE) is not None
            names = _yaml_names(text)
            if names or has_keypoints:
                return _DataSet(names, has_keypoints)
    for folder in (root, root / "labels", root.parent):
        for name in _NAME_FILES:
            if (folder / name).is_file():
                lines = [line.strip() for line in text_of(folder / name).splitlines()]
                return _DataSet({i: line for i, line in enumerate(lines) if line})
    return _DataSet()


def _yaml_names(text: str) -> dict[int, str]:
    """``names`` of a data.yaml, in any of the forms in use: list or mapping, block or flow."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        return {}
    rest = _uncommented(lines[start].partition(":")[2]).strip()
    if rest[:1] in ("[", "{"):
        inside = [rest, *(_uncommented(line) for line in lines[start + 1 :])]
        flow = re.match(r"[\[{](.*?)[\]}]", " ".join(inside))
        found = [m for m in _FLOW.finditer(flow[1] if flow else "") if m["name"].strip()]
    else:
        found = []
        for line in lines[start + 1 :]:
            match = _ENTRY.match(" " + _uncommented(line))
            is_inside = line[:1] in (" ", "\t", "-")
            if match is None or not is_inside:
                if line.strip() and not line.lstrip().startswith("#"):
                    break
                continue
            found.append(match)
    return {
        int(match["key"].strip("'\"")) if match["key"] else i: match["name"].strip().strip("'\"")
        for i, match in enumerate(found)
    }


def _uncommented(line: str) -> str:
    for mark in re.finditer(r"(^|\s)#", line):
        before = line[: mark.start()]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return before
    return line


FORMAT = ImportFormat("yolo", "a data set of YOLO: polygons, boxes, rotated boxes", read_yolo)

"""ImportedImage: one image and what another tool says about it. The interface of every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.bookkeeping.files import file_names, is_packed
from converters.bookkeeping.json_stream import MAX_PIECE_BYTES
from domain.annotation import Annotation, LeftOut
from domain.errors import FileFormatError
from domain.geometry import LabelMap, Shape


@dataclass(frozen=True, slots=True, eq=False)
class ImportedShape:
    """One region: the name of its class, and what it covers, in pixels unless its image says else.

    Several shapes of one region are united.
    """

    class_name: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What another Label Studio holds of a task: taken over as it stands, not drawn anew.

    ``data`` are the task's fields without its image, which ``address`` names; ``annotations`` the
    submitted and skipped ones, ``predictions`` Label Studio's JSON.
    """

    address: str
    data: Mapping[str, Any]
    annotations: tuple[Annotation, ...]
    predictions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImportedImage:
    """One image of the source.

    ``number`` counts the source's images from 1 and stands for a task id in reports. ``key`` names
    the image in later runs, ``stamp`` changes when its annotations do. ``size_hw`` is what the
    source says, None if it says nothing. A mask comes as ``label_map`` with its ``label_names``.
    ``is_empty``: the source says that nothing is in the image; False too where something was, but
    could not be read. ``stems`` are names without ending that the image may have, where the source
    does not know its name; ``path`` is its file where the source's folders say so, ``mask`` the
    file of its mask, which is not its image. ``is_relative``: regions are polygons in fractions of
    the image's width and height. ``task_id``: the source has the image once for each of several
    tasks, and this is that of one. ``said``: the source is a Label Studio, and ``regions`` name
    classes and have no shapes.
    """

    number: int
    key: str
    stamp: str
    file_name: str
    size_hw: tuple[int, int] | None
    regions: tuple[ImportedShape, ...] = field(default=())
    notes: tuple[LeftOut, ...] = field(default=())
    label_map: LabelMap | None = None
    label_names: dict[int, str] = field(default_factory=dict)
    is_empty: bool = False
    stems: tuple[str, ...] = field(default=())
    path: Path | None = None
    mask: Path | None = None
    is_relative: bool = False
    task_id: int | None = None
    said: Said | None = None

    @property
    def used_names(self) -> tuple[str, ...]:
        """The classes that something in the image has, in order."""
        names = [region.class_name for region in self.regions]
        if self.label_map is not None:
            present = np.flatnonzero(np.bincount(self.label_map.ravel(), minlength=256)).tolist()
            names += [self.label_names[i] for i in present if i in self.label_names]
        return tuple(dict.fromkeys(names))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of its regions in order of appearance; a mask's by their integers.

        A mask names its classes whether they occur in it or not.
        """
        names = [region.class_name for region in self.regions]
        names += [name for _, name in sorted(self.label_names.items())]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a person chooses about reading.

    ``classes`` names the integers 1, 2, ... of masks (0, 1, ... of YOLO); ``class_key`` the
    attribute that holds a VIA region's class ("" = find it); ``default_class`` the class of regions
    without one ("" = leave them out); ``mask_name`` how masks are called (``{name}_1stHO``, "" =
    find it); ``colors`` the classes of colour masks by ``#rrggbb`` ("" = background);
    ``ignore_label`` the label of pixels that the source ignores ("" = they are background, and a
    note says so); ``image_key`` the field of Label Studio's tasks that has the image ("" = find
    it).
    """

    classes: tuple[str, ...] = field(default=())
    class_key: str = ""
    default_class: str = ""
    mask_name: str = ""
    colors: Mapping[str, str] = field(default_factory=dict)
    ignore_label: str = ""
    image_key: str = ""


ImportSource = Iterator[ImportedImage | LeftOut]


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """A row of the registry. ``read`` may be called several times.

    ``is_file``: its source is one file, never a folder. ``is_taken_over``: its images have
    ``said``.
    """

    name: str
    summary: str
    read: Callable[[Path, ImportOptions], ImportSource]
    is_file: bool = False
    is_taken_over: bool = False

    def entries(self, path: Path, options: ImportOptions) -> ImportSource:
        """``read``, after a look at what the path is.

        Raises:
            FileFormatError: As ``read``; or the file is packed, or a folder where a file is wanted.
        """
        if path.is_file() and is_packed(path):
            raise FileFormatError(
                f"{path.name} is packed.", remedy="Unpack it, and give what is in it."
            )
        if self.is_file and path.is_dir():
            inside = sorted(name for name in file_names(path) if name.lower().endswith(".json"))
            example = f", as {' or '.join(inside[:3])} in it" if inside else ""
            raise FileFormatError(
                f"{path} is a folder, and {self.name} is read from one file.",
                remedy=f"Give the file{example}.",
            )
        yield from self.read(path, options)


class Notes:
    """Collects what is left out of one image."""

    def __init__(self, number: int, file_name: str) -> None:
        self._number, self._file_name = number, file_name
        self.items: list[LeftOut] = []

    def add(self, region: object, reason: str, what: str) -> None:
        """Notes a region, named by its number from 1 or its id."""
        message = f"Region {region} of {self._file_name!r} {what}."
        self.items.append(LeftOut(self._number, reason, message, str(region)))


class Regions(Notes):
    """Collects the regions of one image, and what is left out of it.

    Args:
        number: The image's.
        file_name: Its name, for the notes.
        default_class: The class of regions without one; "" leaves them out.
    """

    def __init__(self, number: int, file_name: str, default_class: str = "") -> None:
        super().__init__(number, file_name)
        self._default_class = default_class
        self._found: dict[tuple[str, object], list[Shape]] = {}

    @property
    def found(self) -> tuple[ImportedShape, ...]:
        """The regions in the order in which they came."""
        return tuple(
            ImportedShape(name, tuple(shapes)) for (name, _), shapes in self._found.items()
        )

    def read(
        self,
        region: object,
        class_name: str,
        shapes: Callable[[], Sequence[Shape]],
        *,
        no_class: str = "has no class; --default-class gives it one",
        group: object = None,
    ) -> bool:
        """Adds a region, or notes why it is left out; whether it was added.

        Args:
            region: Its number from 1 or its id.
            class_name: "" where the source names none.
            shapes: Reads it; a ValueError says what is wrong with it.
            no_class: What is said of a region without a class.
            group: Regions of one class and group are one; None: it stands alone.
        """
        name = class_name or self._default_class
        if not name:
            self.add(region, "no_class", no_class)
            return False
        try:
            read = shapes()
        except ValueError as error:
            self.add(region, "malformed_region", str(error))
            return False
        alone = ("alone", len(self._found), len(self.items))
        self._found.setdefault((name, alone if group is None else group), []).extend(read)
        return True


def text_of(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark; FileFormatError when it is none."""
    try:
        if path.stat().st_size > MAX_PIECE_BYTES:
            raise FileFormatError(f"{path.name} has more than {MAX_PIECE_BYTES // 1024**2} MB.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileFormatError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path.name} is not UTF-8 ({error.reason}).", remedy="Save it as UTF-8."
        ) from error

"""ImportedImage: one image and what another tool says about it. The interface of every format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from converters.json_stream import MAX_PIECE_BYTES
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import LabelMap, PixelMask, Polygon, Ring, Shape

LARGEST_NUMBER = 1e6
"""A larger pixel coordinate is no drawing's."""


@dataclass(frozen=True, slots=True, eq=False)
class ImportedShape:
    """One region: the name of its class, and what it covers, in pixels unless its image says else.

    Several shapes of one region are united.
    """

    class_name: str
    shapes: tuple[Shape, ...]


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
    tasks, and this is that of one.
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
    find it); ``colors`` the classes of colour masks by ``#rrggbb`` ("" = background).
    """

    classes: tuple[str, ...] = field(default=())
    class_key: str = ""
    default_class: str = ""
    mask_name: str = ""
    colors: Mapping[str, str] = field(default_factory=dict)


ImportSource = Iterator[ImportedImage | LeftOut]


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """A row of the registry. ``read`` may be called several times."""

    name: str
    summary: str
    read: Callable[[Path, ImportOptions], ImportSource]


class Notes:
    """Collects what is left out of one image."""

    def __init__(self, number: int, file_name: str) -> None:
        self._number, self._file_name = number, file_name
        self.items: list[LeftOut] = []

    def add(self, region: object, reason: str, what: str) -> None:
        """Notes a region, named by its number from 1 or its id."""
        message = f"Region {region} of {self._file_name!r} {what}."
        self.items.append(LeftOut(self._number, reason, message, str(region)))


def ring_of(points: Any) -> Ring:
    """A list of number pairs -> (n, 2) float64.

    Raises:
        ValueError: It is none; the message says why.
    """
    if not isinstance(points, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(map(is_coordinate, p)) for p in points
    ):
        raise ValueError("has points that are no list of number pairs")
    ring = np.array(points, dtype=np.float64).reshape(-1, 2)
    if len(np.unique(ring, axis=0)) < 3:
        raise ValueError(f"has {len(ring)} points and no area")
    return ring


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


def is_coordinate(value: object) -> TypeGuard[float]:
    """A number of sane size."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    )


def box_polygon(x: float, y: float, width: float, height: float) -> Polygon:
    """A rectangle from its upper left corner."""
    corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    return Polygon(np.array(corners, dtype=np.float64))


def ellipse_polygon(
    centre_xy: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Polygon:
    """An ellipse as a polygon of the same area, never more than a tenth of a pixel off.

    Args:
        centre_xy: In pixels.
        radii: Along the two axes, in pixels.
        angle: Of the first axis against x, in radians, clockwise on the screen.
    """
    largest = max(*radii, 1.0)
    n = min(max(12, math.ceil(math.pi / math.sqrt(0.1 / largest))), 720)
    turns = np.linspace(0.0, 2 * math.pi, n, endpoint=False)
    # The inscribed polygon is a little too small.
    grow = math.sqrt(2 * math.pi / (n * math.sin(2 * math.pi / n)))
    u, v = grow * radii[0] * np.cos(turns), grow * radii[1] * np.sin(turns)
    cos, sin = math.cos(angle), math.sin(angle)
    points = [centre_xy[0] + u * cos - v * sin, centre_xy[1] + u * sin + v * cos]
    return Polygon(np.stack(points, axis=1))


def whole_of(value: object) -> object:
    """``40.0`` and ``"40"`` as 40, as some tools write sizes; anything else as it is."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,7}(\.0*)?\s*", value, re.ASCII):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def cut_mask(inside: npt.NDArray[np.bool_], top: int, left: int) -> PixelMask:
    """A window of pixels without what lies above or left of the image.

    Raises:
        ValueError: Nothing of it is in the image.
    """
    inside = inside[max(-top, 0) :, max(-left, 0) :]
    if not inside.any():
        raise ValueError("covers no pixel of the image")
    return PixelMask(max(top, 0), max(left, 0), np.asarray(inside, dtype=np.bool_))


def is_size(value: object) -> TypeGuard[int]:
    """A whole number of pixels from 1 to a million."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_NUMBER

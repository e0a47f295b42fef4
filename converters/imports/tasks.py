"""ImportedImage -> Label Studio's result, with the classes of a labelling configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converters.image_files import image_size_hw
from converters.imports.source import (
    ImportedImage,
    ImportedShape,
    ImportFormat,
    ImportOptions,
)
from converters.label_config_xml import polygon_label_config
from converters.results import regions_to_result
from converters.simplify import Simplification
from converters.vectorize import inner_last, region_id, vectorize
from domain.annotation import LeftOut, Region
from domain.errors import FileFormatError, ImageError
from domain.geometry import LabelMap, Polygon, Shape
from domain.labels import LabelConfig

As = Literal["annotations", "predictions"]

_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_MAX_CLASSES = 1000


def infer_classes(format_: ImportFormat, path: Path, options: ImportOptions) -> tuple[str, ...]:
    """The classes a source uses, in order of appearance. Reads all of it and keeps none.

    Raises:
        FileFormatError: It is not of this format, or has no region with a class.
    """
    names: dict[str, None] = dict.fromkeys(options.classes)
    for entry in format_.read(path, options):
        if isinstance(entry, ImportedImage) and len(names) < _MAX_CLASSES:
            names.update(dict.fromkeys(entry.class_names))
    if not names:
        raise FileFormatError(
            f"{path.name} has no region with a class.",
            remedy="Name a class for all of them with --default-class.",
        )
    return tuple(names)


def label_config_for(classes: tuple[str, ...]) -> str:
    """A labelling interface (XML) that fits: polygons with these classes."""
    return polygon_label_config(classes)


class ImageFinder:
    """Finds the image files of a source.

    Args:
        folder: Where they are; None when there are none.
        prefix: Put before every name (``train_``).
        match_stem: Whether another image ending counts as well (of masks: ``a.png`` for ``a.jpg``).
    """

    def __init__(self, folder: Path | None, prefix: str = "", *, match_stem: bool = False) -> None:
        self._folder, self._prefix, self._match_stem = folder, prefix, match_stem

    def find(self, image: ImportedImage) -> Path | None:
        """The image's file, or None."""
        if self._folder is None:
            return None
        for name in self._names(image.file_name):
            path = self._folder / name
            if path.is_file():
                return path
        return None

    def _names(self, file_name: str) -> Iterator[str]:
        parts = [
            part
            for part in file_name.replace("\\", "/").replace("\0", "")[:1000].split("/")
            if part not in ("", ".", "..")
        ]
        if not parts:
            return
        for start in range(len(parts)):
            yield "/".join([*parts[start:-1], self._prefix + parts[-1]])
        if self._match_stem:
            stem = self._prefix + parts[-1].rpartition(".")[0]
            for ending in _IMAGE_ENDINGS:
                yield stem + ending
                yield stem + ending.upper()


def size_of(image: ImportedImage, path: Path | None) -> tuple[int, int]:
    """(height, width) in pixels: the image file's, which must be what the source says.

    Raises:
        ImageError: There is no size, it is no image, or the two sizes differ.
    """
    if path is None:
        if image.size_hw is None:
            raise ImageError(
                image.number,
                "image_missing",
                f"the image {image.file_name!r} was not found, and the source does not say how "
                "large it is.",
                remedy="Give the folder of images with --images (and --image-prefix).",
            )
        return image.size_hw
    found = image_size_hw(path, image.number)
    if image.size_hw not in (None, found):
        raise ImageError(
            image.number,
            "size_mismatch",
            f"the source says {image.file_name!r} has (height, width) {image.size_hw}, but "
            f"{path.name} has {found}.",
            remedy="Use the image that was annotated; one turned by its EXIF tag counts as turned.",
        )
    return found


def to_result(
    image: ImportedImage,
    config: LabelConfig,
    size_hw: tuple[int, int],
    how: Simplification,
) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    """Label Studio's regions of an image, and what was left out.

    Polygons keep their points; pixels are drawn round, within the limits of ``how``.

    Args:
        image: What the source says.
        config: Gives the classes; a class goes by any of its names.
        size_hw: (height, width) in pixels.
        how: Limits on simplification.
    """
    notes = list(image.notes)
    by_name = {name: c.index for c in reversed(config.group.classes) for name in c.names}
    regions: list[Region] = []
    if image.label_map is not None:
        mapped = _mapped(image, by_name, notes)
        regions += inner_last(
            vectorize(mapped, [c.index for c in config.group.classes], **asdict(how))
        )
    for number, region in enumerate(image.regions, start=1):
        class_index = by_name.get(region.class_name)
        if class_index is None:
            notes.append(_unknown(image, number, region.class_name))
            continue
        polygons = _polygons_of(region, size_hw, how)
        if not polygons:
            message = f"Region {number} of {image.file_name!r} lies outside the image."
            notes.append(LeftOut(image.number, "outside_image", message, str(number)))
            continue
        salted = region_id(class_index, polygons[0], salt=number)
        regions.append(Region(salted, class_index, polygons))
    return regions_to_result(regions, config, size_hw, is_prediction=False), notes


def _mapped(image: ImportedImage, by_name: Mapping[str, int], notes: list[LeftOut]) -> LabelMap:
    """The label map with the configuration's integers."""
    assert image.label_map is not None  # noqa: S101 - the caller looked
    table = np.zeros(256, dtype=np.uint8)
    present = set(np.unique(image.label_map).tolist())
    for value, name in image.label_names.items():
        if not 0 < value < table.size or value not in present:
            continue
        if name in by_name:
            table[value] = by_name[name]
        else:
            notes.append(_unknown(image, value, name))
    return table[image.label_map]


def _unknown(image: ImportedImage, region: int, name: str) -> LeftOut:
    message = (
        f"Region {region} of {image.file_name!r} has the class {name[:80]!r}, which the labelling "
        "configuration lacks."
    )
    return LeftOut(image.number, "unknown_label", message, str(region))


def _polygons_of(
    region: ImportedShape, size_hw: tuple[int, int], how: Simplification
) -> tuple[Polygon, ...]:
    """Polygons as they are, where they touch the image; pixels as their outlines."""
    height, width = size_hw
    found: list[Polygon] = []
    for shape in region.shapes:
        if isinstance(shape, Polygon):
            low, high = shape.exterior.min(axis=0), shape.exterior.max(axis=0)
            if (high > 0).all() and low[0] < width and low[1] < height:
                found.append(shape)
            continue
        found += _outlines(shape, size_hw, how)
    return tuple(found)


def _outlines(shape: Shape, size_hw: tuple[int, int], how: Simplification) -> list[Polygon]:
    assert not isinstance(shape, Polygon)  # noqa: S101 - the caller looked
    height, width = size_hw
    inside = shape.inside[: max(height - shape.top, 0), : max(width - shape.left, 0)]
    if not inside.any():
        return []
    # The frame keeps the window's edge from counting as the image's, whose corners stay sharp.
    frame = 4
    offset = np.array([shape.left - frame, shape.top - frame], dtype=np.float64)
    parts = vectorize(np.pad(inside.astype(np.uint8), frame), [1], **asdict(how))
    return [
        Polygon(polygon.exterior + offset, tuple(hole + offset for hole in polygon.holes))
        for part in parts
        for polygon in part.polygons
    ]

"""ImportedImage -> Label Studio's result, with the classes of a labelling configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ImageColor

from converters.classes.matching import MatchedClasses
from converters.images.of_tasks import image_size_hw
from converters.imports.source import (
    ImportedImage,
    ImportedShape,
    ImportFormat,
    ImportOptions,
)
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.write import regions_to_result
from converters.outlines.border import cut_at_border
from converters.outlines.limits import Simplification
from converters.outlines.vectorize import inner_last, vectorize
from domain.annotation import LeftOut, Region, region_id
from domain.errors import FileFormatError, ImageError, TaskError
from domain.geometry import LabelMap, Polygon, Shape
from domain.labels import LabelConfig
from domain.text import counted

As = Literal["annotations", "predictions"]

LOST = "regions_lost"
"""Reason of an image all of whose regions could not be used."""

_MAX_CLASSES = 1000
_MAX_REASONS = 20
_NO_MAP: Mapping[str, str] = {}


def infer_classes(
    format_: ImportFormat, path: Path, options: ImportOptions, mapping: Mapping[str, str] = _NO_MAP
) -> tuple[str, ...]:
    """The classes a source names, in order of appearance. Reads all of it and keeps none.

    Args:
        format_: How to read it.
        path: The source.
        options: About reading.
        mapping: Their name -> the name wanted; "" leaves a class out.

    Raises:
        FileFormatError: It is not of this format, has no region with a class, or is a colour
            picture whose colours have no names.
    """
    names: dict[str, None] = dict.fromkeys(options.classes)
    reasons: list[str] = []
    n_empty = 0
    for entry in format_.entries(path, options):
        if isinstance(entry, LeftOut):
            reasons.append(entry.message)
            continue
        reasons += [note.message for note in entry.notes]
        n_empty += entry.is_empty
        unnamed = [
            name for name in entry.used_names if name.startswith("#") and name not in mapping
        ]
        if unnamed and entry.label_map is not None:
            raise FileFormatError(
                f"{entry.key} is a colour picture, and its colours {', '.join(unnamed)} have no "
                "names.",
                remedy=f"Name them with --map '{unnamed[0]}=CLASS', or write masks as grey or "
                "palette PNG with the class integer in each pixel.",
            )
        if len(names) < _MAX_CLASSES:
            names.update(dict.fromkeys(entry.class_names))
        del reasons[_MAX_REASONS:]
    wanted = dict.fromkeys(mapping.get(name, name) for name in names)
    if not any(wanted) and n_empty and not reasons:
        raise FileFormatError(
            f"{path.name} has nothing in its {counted(n_empty, 'image')}.",
            remedy="Without a region there is no class: give the labelling configuration with "
            "--label-config.",
        )
    if not any(wanted):
        why = f" {reasons[0]}" if reasons else ""
        raise FileFormatError(
            f"{path.name} has no region with a class.{why}",
            remedy="Name a class for all of them with --default-class."
            if not reasons
            else "Mend that, or name a class for regions without one with --default-class.",
        )
    return tuple(name for name in wanted if name)


def label_config_for(classes: tuple[str, ...], image_key: str = "image") -> str:
    """A labelling interface (XML) that fits: polygons with these classes."""
    return polygon_label_config(classes, image_key)


def colors_of(mapping: Mapping[str, str], config: LabelConfig | None = None) -> dict[str, str]:
    """Classes of colour masks by ``#rrggbb``: the labels' colours, and what is background ("").

    Args:
        mapping: Their name (a colour) -> our name; these are mapped later, as any class.
        config: Its labels' colours name their classes.
    """
    colors = {name.lower(): "" for name, ours in mapping.items() if name[:1] == "#" and not ours}
    for label_class in config.group.classes if config is not None else ():
        try:
            red, green, blue = ImageColor.getrgb(label_class.color)[:3]
        except ValueError:
            continue
        color = f"#{red:02x}{green:02x}{blue:02x}"
        if color not in mapping:
            colors.setdefault(color, label_class.value)
    return colors


def size_of(
    image: ImportedImage, path: Path | None, task_size_hw: tuple[int, int] | None = None
) -> tuple[int, int]:
    """(height, width) in pixels: the image's own, which must be what the source says.

    Args:
        image: What the source says.
        path: The image's file, None when there is none.
        task_size_hw: The size of the image of its task, where that was fetched.

    Raises:
        ImageError: There is no size, it is no image, or the two sizes differ.
    """
    if path is None and task_size_hw is None:
        if image.size_hw is None:
            raise ImageError(
                image.number,
                "image_missing",
                f"the image {image.file_name!r} was not found, and the source does not say how "
                "large it is.",
                remedy="Give the folder of images with --images (and --image-prefix).",
            )
        return image.size_hw
    found = image_size_hw(path, image.number) if path is not None else task_size_hw
    assert found is not None  # noqa: S101 - one of both is there
    if image.size_hw not in (None, found):
        raise ImageError(
            image.number,
            "size_mismatch",
            f"the source says {image.file_name!r} has (height, width) {image.size_hw}, but "
            f"{path.name if path is not None else 'the image of its task'} has {found}.",
            remedy="Use the image that was annotated; one turned by its EXIF tag counts as turned.",
        )
    return found


def to_result(
    image: ImportedImage,
    config: LabelConfig,
    size_hw: tuple[int, int],
    how: Simplification,
    classes: MatchedClasses,
) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    """Label Studio's regions of an image, and what was left out.

    Polygons keep their points, and are cut at the image's border; pixels are drawn round, within
    the limits of ``how``.

    Args:
        image: What the source says.
        config: The labelling configuration.
        size_hw: (height, width) in pixels.
        how: Limits on simplification.
        classes: Which of the configuration's classes theirs are.
    """
    notes = list(image.notes)
    regions: list[Region] = []
    if image.label_map is not None:
        mapped = _mapped(image, classes, notes)
        regions += inner_last(
            vectorize(mapped, [label.index for label in config.group.labels], **asdict(how))
        )
    for number, region in enumerate(image.regions, start=1):
        if region.class_name not in classes.by_name:
            notes.append(_unknown(image, number, region.class_name))
            continue
        label_class = classes.by_name[region.class_name]
        if label_class is None:
            continue  # left out on request
        if image.is_relative:
            region = _scaled(region, size_hw)
        polygons = _polygons_of(region, size_hw, how)
        if not polygons:
            message = f"Region {number} of {image.file_name!r} lies outside the image."
            notes.append(LeftOut(image.number, "outside_image", message, str(number)))
            continue
        salted = region_id(label_class.index, polygons[0], salt=number)
        regions.append(Region(salted, label_class.index, polygons))
    return regions_to_result(regions, config, size_hw, is_prediction=False), notes


def said_of(
    image: ImportedImage,
    config: LabelConfig,
    size_hw: tuple[int, int],
    how: Simplification,
    classes: MatchedClasses,
    *,
    empty_as_negative: bool,
) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    """``to_result``, and never nothing unless the source says so and that is wanted.

    Args:
        image: What the source says.
        config: The labelling configuration.
        size_hw: (height, width) in pixels.
        how: Limits on simplification.
        classes: Which of the configuration's classes theirs are.
        empty_as_negative: Whether an image that its source says is empty is to be told so.

    Raises:
        ImageError: ``empty`` (the source says so, and it is not wanted), ``regions_lost`` (all of
            them, with the first reason), or ``class_left_out`` (all of them on request).
    """
    result, notes = to_result(image, config, size_hw, how, classes)
    if result or (image.is_empty and empty_as_negative):
        return result, notes
    name = image.file_name
    if image.is_empty:
        raise ImageError(
            image.number,
            "empty",
            f"the source has nothing in {name!r}.",
            remedy="If that means that nothing is there to see, --empty-as-negative says so.",
        )
    if not notes:
        message = f"every region of {name!r} has a class that --map leaves out."
        raise ImageError(image.number, "class_left_out", message)
    message = f"every region of {name!r} was lost. {notes[0].message}"
    raise ImageError(image.number, LOST, message)


def left_out_repeat(image: ImportedImage) -> LeftOut:
    """An image that came before, as an entry of the report; what is said here is lost with it."""
    message = f"The image {image.file_name!r} comes more than once"
    if image.is_empty:
        return LeftOut(image.number, "duplicate_image", f"{message}.")
    return LeftOut(image.number, LOST, f"{message}; every region of this one was lost.")


def left_out_image(error: TaskError) -> LeftOut:
    """The error as an entry of the report; an image of a source has no task yet."""
    text = error.in_full.removeprefix(f"Task {error.task_id}: ")
    return LeftOut(error.task_id, error.reason, f"{text[:1].upper()}{text[1:]}")


def _mapped(image: ImportedImage, classes: MatchedClasses, notes: list[LeftOut]) -> LabelMap:
    """The label map with the configuration's integers."""
    assert image.label_map is not None  # noqa: S101 - the caller looked
    table = np.zeros(256, dtype=np.uint8)
    present = set(np.unique(image.label_map).tolist())
    for value, name in image.label_names.items():
        if not 0 < value < table.size or value not in present:
            continue
        if name not in classes.by_name:
            notes.append(_unknown(image, value, name))
            continue
        label_class = classes.by_name[name]
        table[value] = label_class.index if label_class is not None else 0
    return table[image.label_map]


def _unknown(image: ImportedImage, region: int, name: str) -> LeftOut:
    message = (
        f"Region {region} of {image.file_name!r} has the class {name[:80]!r}, which the labelling "
        "configuration lacks."
    )
    return LeftOut(image.number, "unknown_label", message, str(region))


def _scaled(region: ImportedShape, size_hw: tuple[int, int]) -> ImportedShape:
    """Fractions of the image's size as pixels."""
    sizes_xy = np.array([size_hw[1], size_hw[0]], dtype=np.float64)
    shapes = tuple(
        Polygon(shape.exterior * sizes_xy) for shape in region.shapes if isinstance(shape, Polygon)
    )
    return ImportedShape(region.class_name, shapes)


def _polygons_of(
    region: ImportedShape, size_hw: tuple[int, int], how: Simplification
) -> tuple[Polygon, ...]:
    """Polygons as they are, cut at the border; pixels as their outlines."""
    found: list[Polygon] = []
    for shape in region.shapes:
        if isinstance(shape, Polygon):
            cut = cut_at_border(shape, size_hw)
            found += [cut] if cut is not None else []
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

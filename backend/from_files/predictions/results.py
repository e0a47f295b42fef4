"""What is written of each predicted image: mask, overlay, row of a table, regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from backend.from_files.predictions.inputs import ImageInput
from converters.bookkeeping.files import json_list, read_json, write_bytes, write_json
from converters.classes.colors import color_of
from converters.classes.integers import LABELMAP, integers_of
from converters.exports.masks import CLASSES
from converters.exports.nifti import nifti_bytes
from converters.exports.table import area_and_parts, csv_line
from converters.images.image_pixels import write_png
from converters.images.medical_pixels import as_pixels
from converters.images.nifti_slices import NiftiStack
from converters.imports.addresses import image_address
from converters.pictures.overlay import FILL_OPACITY, overlay, with_legend
from domain.errors import SettingsError
from domain.geometry import LabelMap, Pixels
from domain.labels import LabelConfig

TABLE = "predictions.csv"
TASKS = "predictions.json"
OVERLAYS = "overlays"

OF_LABELS = ("labels",)
"""For the colours of masks: those of the labelling interface."""

_LABELMAP_HEAD = "# label:color_rgb:parts:actions (written by nnloop predict)"

Record = dict[str, Any]
Records = Callable[[], Iterator[Record]]


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """What is written, and how: a document.

    Attributes:
        overlays: Whether pictures of image and prediction are.
        color: Of all classes in them, as CSS writes it; "" = those of the labelling interface.
        opacity: Of the tint in them, in [0, 1]; 0 = outlines alone.
        values: What stands in masks for background, class 1, 2, ...; () = 0, 1, 2, ...
        colors: The same as colours, as CSS writes them: masks are colour pictures. ``OF_LABELS`` =
            those of the labelling interface, on black; () = none. NIfTI has the values anyway.
        nifti: Whether masks are NIfTI, in the place of PNG.
        tasks: Whether a file that Label Studio imports is written.
        image_url: Put before the names of images in that file.
        spacing_mm: (vertical, horizontal) size of a pixel of images that do not say it; None: not
            known.
    """

    overlays: bool = False
    color: str = ""
    opacity: float = FILL_OPACITY
    values: tuple[int, ...] = ()
    colors: tuple[str, ...] = ()
    nifti: bool = False
    tasks: bool = False
    image_url: str = ""
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What a model says of an image.

    Attributes:
        label_map: (height, width) uint8 in the model's integers.
        score: Expected Dice in [0, 1]; ``low`` to ``high`` holds 9 of 10 true ones.
        low: See there.
        high: See there.
        result: Label Studio's regions; empty where nobody wants them.
        spacing_mm: (vertical, horizontal) size of a pixel; None: not known.
    """

    label_map: LabelMap
    score: float
    low: float
    high: float
    result: tuple[Mapping[str, Any], ...] = ()
    spacing_mm: tuple[float, float] | None = None


class Results:
    """Writes what is known of images into a folder."""

    def __init__(self, out: Path, config: LabelConfig, options: ResultOptions, model: str) -> None:
        """Takes what is the same for all images.

        Args:
            out: The folder.
            config: The model's classes.
            options: What to write.
            model: Name of the version.

        Raises:
            SettingsError: There is not one value or colour for each class.
        """
        self._out, self._config, self._options, self._model = out, config, options, model
        self._values = values_of(config, options.values)
        self._palette = palette_of(config, options.colors) if options.colors else None
        classes = config.group.classes
        if options.color:
            classes = tuple(replace(one, color=options.color) for one in classes)
        self._colored = replace(config, group=replace(config.group, classes=classes))

    def files_of(self, stem: str, n_slices: int = 1) -> list[str]:
        """The files of one image, relative to the folder, the mask first.

        Args:
            stem: What they are called; may hold folders.
            n_slices: More than one of a stack.
        """
        is_stack = n_slices > 1
        files = [f"{stem}.nii.gz" if is_stack or self._options.nifti else f"{stem}.png"]
        if self._options.overlays:
            names = [f"{stem}_{n:04d}" for n in range(n_slices)] if is_stack else [stem]
            files += [f"{OVERLAYS}/{name}.png" for name in names]
        return files

    def write(
        self, image: ImageInput, stem: str, pixels: Pixels, found: Predicted
    ) -> tuple[list[str], Record]:
        """Writes the files of one image.

        Args:
            image: Which.
            stem: What its files are called; may hold folders.
            pixels: (height, width[, 3]) as read.
            found: What the model says.

        Returns:
            The files, relative to the folder, and what the files about all images want to know.
        """
        options, files = self._options, self.files_of(stem)
        mask, *overlays = files
        if options.nifti:
            values = self._values[found.label_map]
            write_bytes(self._out / mask, nifti_bytes(values, found.spacing_mm))
        else:
            table = self._values if self._palette is None else self._palette
            self._png(mask, table[found.label_map])
        for name in overlays:
            picture = overlay(pixels, found.label_map, self._colored, options.opacity)
            self._png(name, with_legend(picture, self._colored))
        return files, {"rows": [self._row(image.name, mask, found)], **self._task(image, found)}

    def write_stack(
        self, image: ImageInput, stem: str, slices: NiftiStack, found: Sequence[Predicted]
    ) -> tuple[list[str], Record]:
        """Writes the files of an image that has several slices: masks as NIfTI that lies as it.

        Args:
            image: Which.
            stem: What its files are called; may hold folders.
            slices: Its pixels.
            found: What the model says of each.

        Returns:
            As ``write``.
        """
        files = self.files_of(stem, len(found))
        mask, *overlays = files
        masks = [self._values[one.label_map] for one in found]
        write_bytes(self._out / mask, slices.label_bytes(masks))
        rows = [self._row(f"{image.name}:{k}", mask, one) for k, one in enumerate(found)]
        for number, name in enumerate(overlays):
            pixels = as_pixels(slices.slice(number).shown, 0)
            label_map = found[number].label_map
            picture = overlay(pixels, label_map, self._colored, self._options.opacity)
            self._png(name, with_legend(picture, self._colored))
        return files, {"rows": rows}

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the files about all images."""
        return (CLASSES, TABLE, *((TASKS,) if self._options.tasks else ()))

    def begin(self) -> None:
        """Takes away what is said of all images, where masks will hold other integers from now on.

        So that nothing names a class that is none, however this ends.
        """
        try:
            is_same = read_json(self._out / CLASSES) == self._integers()
        except (OSError, ValueError):
            is_same = False
        for name in (CLASSES, TABLE, TASKS) if not is_same else ():
            (self._out / name).unlink(missing_ok=True)

    def finish(self, records: Records) -> None:
        """Writes the files about all images."""
        write_json(self._out / CLASSES, self._integers())
        self._write_labelmap()
        write_bytes(self._out / TABLE, self._rows(records))
        if self._options.tasks:
            # A file of slices is nothing that Label Studio shows.
            tasks = (record["task"] for record in records() if "task" in record)
            write_bytes(self._out / TASKS, json_list(tasks))

    def _png(self, name: str, picture: npt.NDArray[np.uint8]) -> None:
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, picture)

    def _write_labelmap(self) -> None:
        """labelmap.txt, by which the colours of masks are read back; one of an earlier run goes."""
        path = self._out / LABELMAP
        if self._palette is not None:
            rows = [("background", self._palette[0])]
            rows += [(one.value, self._palette[one.index]) for one in self._config.group.classes]
            lines = [f"{name}:{','.join(map(str, rgb.tolist()))}::" for name, rgb in rows]
            # What CVAT's form can't hold is told by its colour alone.
            kept = [line for line, row in zip(lines, rows, strict=True) if _fits_labelmap(row[0])]
            write_bytes(path, "\n".join([_LABELMAP_HEAD, lines[0], *kept, ""]).encode())
        elif path.is_file() and path.read_bytes().startswith(_LABELMAP_HEAD.encode()):
            path.unlink()

    def _integers(self) -> dict[str, int]:
        """Class -> what stands for it in the masks."""
        classes = self._config.group.classes
        names = {one.value: int(self._values[one.index]) for one in classes}
        return integers_of(names, int(self._values[0]))

    def _row(self, name: str, mask: str, found: Predicted) -> list[Any]:
        """The row of a picture in the table."""
        height, width = found.label_map.shape
        scores = [round(value, 4) for value in (found.score, found.low, found.high)]
        cells: list[Any] = [name, mask, width, height, *scores]
        spacing = found.spacing_mm
        for one in self._config.group.classes:
            area, parts = area_and_parts(found.label_map, one.index)
            mm2 = f"{area * spacing[0] * spacing[1]:.6g}" if spacing else ""
            cells += [area, mm2, parts]
        return cells

    def _task(self, image: ImageInput, found: Predicted) -> Record:
        """What Label Studio imports of an image, where that is wanted."""
        if not self._options.tasks:
            return {}
        prediction = {
            "model_version": self._model,
            "score": found.score,
            "result": list(found.result),
        }
        address = image_address(self._options.image_url, image.name)
        return {"task": {"data": {self._config.image_key: address}, "predictions": [prediction]}}

    def _rows(self, records: Records) -> Iterator[bytes]:
        names = [one.value for one in self._config.group.classes]
        kinds = ("area_px", "area_mm2", "parts")
        yield csv_line(
            [
                *("image", "mask", "width", "height", "score", "score_low", "score_high"),
                *(f"{name} {kind}" for name in names for kind in kinds),
            ]
        )
        for record in records():
            yield from map(csv_line, record["rows"])


def values_of(config: LabelConfig, values: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """(256,) uint8: class integer -> what stands for it in a mask.

    Raises:
        SettingsError: There is not one for the background and for each class, or two are one.
    """
    classes = config.group.classes
    table = np.arange(256, dtype=np.uint8)
    if not values:
        return table
    names = ", ".join(["background", *(one.value for one in classes)])
    if len(values) != len(classes) + 1 or len(set(values)) != len(values):
        raise SettingsError(
            f"--values gives {', '.join(map(str, values))} for {names}.",
            remedy="Give one number for each of them in this order, all different: 0,255.",
        )
    if not all(0 <= value <= 255 for value in values):
        raise SettingsError(
            f"--values gives {', '.join(map(str, values))}.",
            remedy="A pixel of a mask holds 0 to 255.",
        )
    for index, value in zip([0, *(one.index for one in classes)], values, strict=True):
        table[index] = value
    return table


def palette_of(config: LabelConfig, colors: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """(256, 3) uint8: class integer -> red, green, blue in a mask; black where there is no class.

    Args:
        config: The model's classes.
        colors: As of ``ResultOptions``, not empty.

    Raises:
        SettingsError: There is not one for the background and for each class, or two are one.
    """
    classes = config.group.classes
    names = ["background", *(one.value for one in classes)]
    if colors == OF_LABELS:
        found = [(0, 0, 0), *(color_of(one) for one in classes)]
    else:
        found = [_rgb(color) for color in colors]
    if len(found) != len(names):
        raise SettingsError(
            f"--values gives {', '.join(colors)} for {', '.join(names)}.",
            remedy="Give one colour for each of them in this order: black,red.",
        )
    for number, color in enumerate(found):
        first = found.index(color)
        if first < number:
            raise SettingsError(
                f"In masks {names[first]!r} and {names[number]!r} would both be "
                f"#{color[0]:02x}{color[1]:02x}{color[2]:02x}.",
                remedy="Give one colour for each class, the background first, all different: "
                "--values black,red,lime.",
            )
    table = np.zeros((256, 3), dtype=np.uint8)
    table[[0, *(one.index for one in classes)]] = found
    return table


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(color)[:3]
    return red, green, blue


def _fits_labelmap(name: str) -> bool:
    is_plain = name == name.strip() and not name.startswith("#") and ":" not in name
    return is_plain and name != "background" and len(name.splitlines()) == 1

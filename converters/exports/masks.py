"""Masks: index masks as PNG or NPY, or one black-and-white PNG per class."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from converters.bookkeeping.files import json_list, write_bytes, write_json
from converters.classes.integers import IGNORED
from converters.exports.exporter import Format, Needs, Record, Records, Written, without_ignored
from converters.exports.image_names import names_of_image, told_apart
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from converters.images.image_pixels import write_png
from converters.images.of_tasks import file_stem
from converters.masks.image_list import IMAGES
from domain.labels import LabelConfig

CLASSES = "classes.json"
"""Names and integers beside the masks; ``nnloop import masks`` reads it."""


class IndexMasks:
    """masks/NAME.png or .npy: (height, width) uint8, 0 = background, k = class k."""

    def __init__(
        self, out: Path, config: LabelConfig, options: ExportOptions, *, ending: str
    ) -> None:
        self._out, self._config, self._ending = out, config, ending

    def write(self, item: ExportItem) -> Written:
        """Writes the mask."""
        name = f"masks/{item.stem}.{self._ending}"
        path = self._out / name
        if self._ending == "npy":
            buffer = io.BytesIO()
            np.save(buffer, item.label_map)
            write_bytes(path, buffer.getvalue())
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, item.label_map)
        return Written((name,), record_of(name, item))

    def finish(self, records: Records) -> None:
        """Writes classes.json and images.json."""
        write_json(self._out / CLASSES, class_integers(self._config))
        write_bytes(self._out / IMAGES, image_rows(records))


class ClassMasks:
    """masks/CLASS/NAME.png: (height, width) uint8, 255 inside; every class, empty ones too."""

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config = out, config
        self._folders = class_folders(config)

    def write(self, item: ExportItem) -> Written:
        """Writes one mask per class."""
        label_map = item.label_map
        names = []
        for label_class in self._config.group.classes:
            name = f"masks/{self._folders[label_class.index]}/{item.stem}.png"
            path = self._out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, np.where(label_map == label_class.index, 255, 0).astype(np.uint8))
            names.append(name)
        return Written(tuple(names), record_of(f"masks/*/{item.stem}.png", item))

    def finish(self, records: Records) -> None:
        """Writes images.json, and classes.json: class name -> folder."""
        write_bytes(self._out / IMAGES, image_rows(records))
        folders = {c.value: self._folders[c.index] for c in self._config.group.classes}
        write_json(self._out / CLASSES, folders)


def record_of(mask: str, item: ExportItem) -> Record:
    """What ``image_rows`` wants to know of a task; ``mask`` is its file."""
    return {"mask": mask, "task_id": item.task.id, **names_of_image(item)}


def image_rows(records: Records) -> Iterator[bytes]:
    """images.json: which image and task each mask is of."""
    return json_list(
        {key: found.record[key] for key in ("mask", "task_id")} | {"image": found.name}
        for found in told_apart(records)
    )


def class_integers(config: LabelConfig) -> dict[str, int]:
    """Class names and integers, background first, ignored pixels last."""
    integers = {"background": 0, **{c.value: c.index for c in config.group.classes}}
    return integers | {IGNORED: config.group.ignore_index} if config.group.has_ignore else integers


def class_folders(config: LabelConfig) -> dict[int, str]:
    """A folder name for every class integer, distinct on every file system."""
    folders: dict[int, str] = {}
    taken: set[str] = set()
    for label_class in config.group.classes:
        # A class name is no path, and a dot in it starts no ending.
        name = file_stem(label_class.value.replace("/", "_") + ".x") or f"class_{label_class.index}"
        while name.casefold() in taken:
            name = f"{name}_{label_class.index}"
        taken.add(name.casefold())
        folders[label_class.index] = name
    return folders


PNG = Format(
    "masks-png",
    "index masks as PNG: 0 = background, k = class k",
    Needs.SIZE,
    partial(IndexMasks, ending="png"),
    version=2,
)
NPY = Format(
    "masks-npy",
    "index masks as NumPy arrays",
    Needs.SIZE,
    partial(IndexMasks, ending="npy"),
    version=2,
)
PER_CLASS = Format(
    "masks-per-class",
    "one mask per class as PNG, 255 inside",
    Needs.SIZE,
    ClassMasks,
    version=3,
    remarks=without_ignored,
)

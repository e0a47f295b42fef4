"""Masks with a folder for every class: masks/lumen/a.png, masks/wall/a.png."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from converters.imports.source import ImportedImage, ImportedShape, ImportOptions, ImportSource
from converters.masks.image_list import MaskImage, images_of_masks
from converters.masks.label_map_files import PICTURE_SUFFIXES, read_mask
from converters.masks.mask_folders import MaskFile, MaskName, mask_files
from domain.annotation import LeftOut
from domain.errors import FileFormatError
from domain.geometry import PixelMask


def read_class_masks(folders: Mapping[str, Path], options: ImportOptions) -> ImportSource:
    """Reads the masks of every image, in order of the names; what is not 0 is inside.

    A class of which an image has no mask is not in it. Where classes overlap, the larger ones come
    first, so that the smaller ones lie on top.

    Args:
        folders: Class -> folder of its masks.
        options: About reading.

    Raises:
        FileFormatError: No folder has a mask.
    """
    by_image: dict[str, dict[str, MaskFile]] = {}
    masks = next(iter(folders.values())).parent
    own = {} if options.mask_name else images_of_masks(masks)
    errors = []
    for class_name, folder in folders.items():
        try:
            files = mask_files(folder, MaskName(options.mask_name), PICTURE_SUFFIXES)
        except FileFormatError as error:
            errors.append(error)
            continue
        # The names of an export are no pattern: 'scan_mask.png' is no mask of 'scan.png' there.
        files = [file for file in files if file.path.name not in own]
        files += [
            MaskFile(folder / name, (PurePosixPath(name).stem, PurePosixPath(of.image).stem))
            for name, of in own.items()
            if (folder / name).is_file()
        ]
        for file in files:
            by_image.setdefault(file.names[0], {})[class_name] = file
    if not by_image:
        raise errors[0]
    for number, (name, of_class) in enumerate(sorted(by_image.items()), start=1):
        try:
            image = _image(number, name, of_class, tuple(folders))
        except FileFormatError as error:
            yield LeftOut(number, "malformed_mask", error.in_full)
            continue
        yield own_image(image, own.get(next(iter(of_class.values())).path.name))


def own_image(image: ImportedImage, of: MaskImage | None) -> ImportedImage:
    """The image of a mask of which an export says which one it is."""
    if of is None:
        return image
    stems = (PurePosixPath(of.image).stem,)
    return replace(image, file_name=of.image, stems=stems, task_id=of.task_id)


def _image(
    number: int, name: str, of_class: Mapping[str, MaskFile], class_names: tuple[str, ...]
) -> ImportedImage:
    digest = hashlib.sha256(json.dumps(class_names).encode())
    inside: dict[str, npt.NDArray[np.bool_]] = {}
    notes = []
    for class_name, file in of_class.items():
        raw, picture = read_mask(file.path)
        digest.update(class_name.encode() + raw)
        where = f"{file.path.parent.name}/{file.path.name}"
        values = np.unique(picture.label_map[picture.label_map > 0])
        if len(values) > 1:
            raise FileFormatError(
                f"{where} holds {len(values)} values beside 0, but lies in a folder of one class.",
                remedy="Give a folder of masks that hold the class integers itself.",
            )
        if picture.doubt:
            notes.append(LeftOut(number, "orientation", f"The mask {where!r} {picture.doubt}."))
        inside[class_name] = picture.label_map > 0
    sizes = {mask.shape for mask in inside.values()}
    if len(sizes) > 1:
        raise FileFormatError(f"The masks of {name!r} have several sizes: {sorted(sizes)}.")
    (size_hw,) = sizes
    integers = {class_name: i for i, class_name in enumerate(class_names, start=1)}
    total = np.zeros(size_hw, dtype=np.uint16)
    label_map = np.zeros(size_hw, dtype=np.uint8)
    for class_name, mask in inside.items():
        total += mask
        label_map[mask] = min(integers[class_name], 255)
    overlaps = bool((total > 1).any()) or len(class_names) > 255
    by_area = sorted(inside, key=lambda class_name: -int(inside[class_name].sum()))
    file = next(iter(of_class.values()))
    return ImportedImage(
        number=number,
        key=name,
        stamp=digest.hexdigest(),
        file_name=name + _ending(file.path),
        size_hw=(int(size_hw[0]), int(size_hw[1])),
        regions=tuple(
            ImportedShape(class_name, (PixelMask(0, 0, inside[class_name]),))
            for class_name in by_area
            if overlaps and inside[class_name].any()
        ),
        notes=tuple(notes),
        # Neighbours that don't overlap keep a common border when they are drawn round together.
        label_map=None if overlaps else label_map,
        label_names={} if overlaps else {i: class_name for class_name, i in integers.items()},
        is_empty=not total.any(),
        stems=file.names,
        mask=file.path,
    )


def _ending(path: Path) -> str:
    """Of the image, as far as a mask tells: Label Studio shows pictures."""
    return path.suffix if path.suffix.lower() in PICTURE_SUFFIXES else ".png"

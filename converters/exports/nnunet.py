"""nnU-Net v2's raw data set: imagesTr/, labelsTr/, dataset.json; as PNG or as NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from converters.bookkeeping.files import write_bytes, write_json
from converters.classes.dataset_unions import labels_with_unions
from converters.classes.reserved_names import nnunet_channel, renamed_labels
from converters.exports.exporter import Format, Needs, Records, Written
from converters.exports.item import ExportItem
from converters.exports.masks import CLASSES, class_integers
from converters.exports.nifti import NONE_KNOWN, nifti_bytes, spacing_remarks
from converters.exports.options import ExportOptions
from converters.images.image_pixels import without_empty_color, write_png
from domain.case import case_id_of_task
from domain.labels import LabelConfig
from domain.unions import UnionPlan

_NIFTI_ENDING = ".nii.gz"
_THICKNESS = 999
"""Pixels: so thick nnU-Net takes a picture of no third dimension to be."""


class RawDataset:
    """imagesTr/CASE_0000.png and labelsTr/CASE.png, with nnloop's case ids.

    A task with several images as channels has a file for each (CASE_0000.png, CASE_0001.png, ...).
    nnU-Net wants the same channels everywhere: with one colour image in the set, grey ones are
    written as colour too.
    """

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config, self._unions = out, config, options.unions

    def write(self, item: ExportItem) -> Written:
        """Writes images and label of a case."""
        case_id = case_id_of_task(item.task.id)
        label_map = item.label_map
        images = {
            f"imagesTr/{case_id}_{number:04d}.png": without_empty_color(image)
            for number, image in enumerate(item.channels)
        }
        for name, array in (*images.items(), (f"labelsTr/{case_id}.png", label_map)):
            path = self._out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, array)
        is_color = any(image.ndim == 3 for image in images.values())
        names = (*images, f"labelsTr/{case_id}.png")
        return Written(names, {"images": list(images), "is_color": is_color})

    def finish(self, records: Records) -> None:
        """Brings all images to the same channels and writes dataset.json."""
        n_cases, is_color = 0, False
        for record in records():
            n_cases += 1
            is_color = is_color or record["is_color"]
        for record in records():
            for name in record["images"]:
                _bring_to(self._out / name, is_color=is_color)
        about = dataset_json(self._config, n_cases, is_color=is_color, unions=self._unions)
        write_json(self._out / "dataset.json", about)
        write_json(self._out / CLASSES, class_integers(self._config))


class RawNiftiDataset:
    """imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz, each with its image's spacing.

    nnU-Net's reader wants a file for each channel: a colour image is three (red, green, blue), and
    with one in the set so is every grey one.
    """

    def __init__(self, out: Path, config: LabelConfig, options: ExportOptions) -> None:
        self._out, self._config, self._unions = out, config, options.unions

    def write(self, item: ExportItem) -> Written:
        """Writes images and label of a case."""
        case_id = case_id_of_task(item.task.id)
        images: list[npt.NDArray[Any]] = [without_empty_color(image) for image in item.channels]
        is_color = any(image.ndim == 3 for image in images)
        if is_color or item.as_color:
            images = [i if i.ndim == 3 else np.repeat(i[:, :, None], 3, axis=2) for i in images]
        channels = np.dstack(images)
        label = f"labelsTr/{case_id}{_NIFTI_ENDING}"
        arrays: dict[str, npt.NDArray[Any]] = {label: item.label_map}
        for number in range(channels.shape[2]):
            arrays[f"imagesTr/{case_id}_{number:04d}{_NIFTI_ENDING}"] = channels[:, :, number]
        spacing_mm = item.spacing_mm
        # nnU-Net takes the axis of the largest spacing for that of the slices.
        thickness_mm = _THICKNESS * max(spacing_mm or NONE_KNOWN)
        for name, array in arrays.items():
            write_bytes(self._out / name, nifti_bytes(array, spacing_mm, thickness_mm))
        record = {"is_color": is_color, "spacing_mm": spacing_mm, "task_id": item.task.id}
        return Written(tuple(arrays), record)

    def finish(self, records: Records) -> None:
        """Writes dataset.json and classes.json."""
        found = [record["is_color"] for record in records()]
        about = dataset_json(self._config, len(found), is_color=any(found), unions=self._unions)
        about |= {"file_ending": _NIFTI_ENDING, "overwrite_image_reader_writer": "SimpleITKIO"}
        write_json(self._out / "dataset.json", about)
        write_json(self._out / CLASSES, class_integers(self._config))


def dataset_json(
    config: LabelConfig, n_cases: int, *, is_color: bool, unions: UnionPlan | None = None
) -> dict[str, Any]:
    """What nnU-Net v2 wants to know about a raw data set; no name in it changes how it learns.

    Unions of classes do: they are what its networks learn in place of the classes.
    """
    kinds = ["R", "G", "B"] if is_color else ["grey"]
    if config.channel_keys:
        kinds = [
            f"{key} {kind}" if is_color else nnunet_channel(key)
            for key in config.channel_keys
            for kind in kinds
        ]
    labels, painted = labels_with_unions(config.class_values, unions)
    if config.group.has_ignore:
        labels["ignore"] = config.group.ignore_index
    return {
        "channel_names": {str(i): name for i, name in enumerate(kinds)},
        "labels": labels,
        **painted,
        "numTraining": n_cases,
        "file_ending": ".png",
    }


def _bring_to(path: Path, *, is_color: bool) -> None:
    """Rewrites a PNG as grey or colour if it is not that already."""
    with Image.open(path) as image:
        if image.mode.startswith("RGB") == is_color:
            return
    # OpenCV, because Pillow reads 16-bit colour as 8 bits.
    array = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    if is_color:
        array = np.repeat(array[:, :, np.newaxis], 3, axis=2)
    else:
        # It was grey before an earlier run made it colour: all channels are equal.
        array = np.ascontiguousarray(array[:, :, 0])
    write_png(path, array)


def _remarks(config: LabelConfig) -> tuple[str, ...]:
    renamed = renamed_labels(config.class_values)
    if not renamed:
        return ()
    pairs = ", ".join(f"{value!r} as {name!r}" for value, name in renamed.items())
    return (
        f"dataset.json has {pairs}, because nnU-Net gives the word a meaning of its own; "
        "classes.json has the true names.",
    )


FORMAT = Format(
    "nnunet",
    "nnU-Net raw data set: imagesTr, labelsTr, dataset.json",
    Needs.PIXELS,
    RawDataset,
    version=3,
    remarks=_remarks,
    is_named_by_image=False,
    knows_unions=True,
)
NIFTI = Format(
    "nnunet-nifti",
    "nnU-Net raw data set with images and labels as NIfTI, each with its image's spacing",
    Needs.PIXELS,
    RawNiftiDataset,
    remarks=_remarks,
    is_named_by_image=False,
    knows_unions=True,
    follows_color=True,
    remarks_of_all=spacing_remarks,
)

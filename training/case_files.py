"""CaseFiles: one case on disk, as nnU-Net reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from converters.bookkeeping.files import file_names, write_bytes
from domain.errors import TrainingError
from domain.geometry import LabelMap
from training.workspace import Workspace

_PNG_SPEED = [cv2.IMWRITE_PNG_COMPRESSION, 1]
"""Fastest zlib level: 3 times quicker than OpenCV's default, files about a tenth larger."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue by ITU-R BT.601."""


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """A case whose files are written.

    ``image_pngs`` together hold its channels in order. ``content_hash`` changes when image or label
    map change; nothing else decides whether the case is preprocessed again.
    """

    case_id: str
    image_pngs: tuple[Path, ...]
    label_png: Path
    content_hash: str


def with_channels(image: npt.NDArray[Any], n_channels: int) -> npt.NDArray[Any]:
    """An image with exactly ``n_channels`` channels.

    nnU-Net fails late on grey images among colour ones. Here grey is repeated into colour, colour
    becomes grey by the luma of ITU-R BT.601, and an alpha channel is dropped. Several grey images
    stacked as k channels become 3 k in the same way, each repeated, and 3 k become k, each triple
    by its luma.

    Args:
        image: (height, width) or (height, width, channel), uint8 or uint16; colours in RGB(A)
            order.
        n_channels: At least 1.

    Returns:
        (height, width) for 1 channel, (height, width, n_channels) for more; the same dtype.

    Raises:
        TrainingError: The array is no such image, or its channels can't become that many.
    """
    if n_channels < 1:
        raise ValueError(f"n_channels must be at least 1, got {n_channels}")
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or image.size == 0:
        raise TrainingError(
            f"An image must be uint8 or uint16 of shape (height, width[, channel]), got "
            f"{image.dtype} of shape {image.shape}.",
            remedy="Convert it to grey or RGB with 8 or 16 bits.",
        )
    stacked = image[:, :, None] if image.ndim == 2 else image
    found = stacked.shape[2]
    if n_channels in (1, 3) and found in (2, 4):
        found -= 1  # grey or RGB with alpha
        stacked = stacked[:, :, :found]
    if n_channels == 3 * found:
        stacked = np.repeat(stacked, 3, axis=2)
    elif found == 3 * n_channels:
        colors = stacked.reshape(*stacked.shape[:2], n_channels, 3).astype(np.float64)
        stacked = np.rint(colors @ np.array(_LUMA)).astype(image.dtype)
    elif found != n_channels:
        raise TrainingError(
            f"An image has {found} channels, the model {n_channels}.",
            remedy="Give every task the same images (setting `channels`), each grey or RGB.",
        )
    return stacked[:, :, 0] if n_channels == 1 else stacked


def write_case(
    workspace: Workspace,
    case_id: str,
    image: npt.NDArray[Any],
    label_map: LabelMap,
    *,
    n_channels: int,
) -> CaseFiles:
    """Writes the PNG files of a case into nnU-Net's raw folder, each atomically.

    One file holds 1 channel, or 3 of 8 bits as RGB. Otherwise each channel has a grey file of its
    own: nnU-Net's reader cuts the low byte off RGB files with 16 bits.

    Args:
        workspace: The project.
        case_id: Letters, digits, ``_``, ``-``, ``.``.
        image: As for ``with_channels``.
        label_map: (height, width) uint8 of the image's size.
        n_channels: At least 1, the same for the whole project.

    Raises:
        TrainingError: The sizes differ, or the image is not usable.
    """
    if label_map.shape != image.shape[:2] or label_map.dtype != np.uint8:
        raise TrainingError(
            f"Case {case_id}: the label map must be uint8 of the image's size "
            f"{image.shape[:2]}, got {label_map.dtype} of {label_map.shape}.",
            remedy="Draw the label map at the size of the image it belongs to.",
        )
    pixels = np.ascontiguousarray(with_channels(image, n_channels))
    labels = np.ascontiguousarray(label_map)
    digest = hashlib.sha256()
    for array in (pixels, labels):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    files = _file_arrays(pixels)
    image_pngs = tuple(workspace.image_png(case_id, number) for number in range(len(files)))
    for path, array in zip(image_pngs, files, strict=True):
        write_bytes(path, _png(array))
    _remove_images(workspace, case_id, start=len(files))
    label_png = workspace.label_png(case_id)
    write_bytes(label_png, _png(labels))
    return CaseFiles(case_id, image_pngs, label_png, digest.hexdigest())


def find_cases(
    workspace: Workspace, content_hashes: Mapping[str, str], n_channels: int
) -> dict[str, CaseFiles]:
    """Cases written earlier, by case id; those of which a file is missing are not among them.

    Lists the two folders instead of asking for every file.

    Args:
        workspace: The project.
        content_hashes: Case id -> what ``write_case`` returned.
        n_channels: As they were written.
    """
    images, labels = workspace.image_png("x").parent, workspace.label_png("x").parent
    of_case: dict[str, list[str]] = {}
    for name in sorted(png_names(images)):
        of_case.setdefault(name.rpartition("_")[0], []).append(name)
    label_names = png_names(labels)
    n_files = {1, n_channels} if n_channels == 3 else {n_channels}
    return {
        case_id: CaseFiles(
            case_id,
            tuple(images / name for name in of_case[case_id]),
            labels / f"{case_id}.png",
            content_hash,
        )
        for case_id, content_hash in content_hashes.items()
        if len(of_case.get(case_id, ())) in n_files and f"{case_id}.png" in label_names
    }


def remove_case(workspace: Workspace, case_id: str) -> None:
    """Removes the files of a case, if there are any."""
    _remove_images(workspace, case_id, start=0)
    workspace.label_png(case_id).unlink(missing_ok=True)


def read_case_image(workspace: Workspace, case_id: str) -> npt.NDArray[Any]:
    """The image of a case with all its channels.

    Returns:
        (height, width), or (height, width, channel) with the channels in order; uint8 or uint16.

    Raises:
        TrainingError: A file is missing or no image.
    """
    images = [read_image(path) for path in _images(workspace, case_id)]
    if len(images) > 1:
        return np.stack(images, axis=2)
    return images[0] if images else read_image(workspace.image_png(case_id))


def read_image(path: Path) -> npt.NDArray[Any]:
    """A PNG that ``write_case`` wrote: (height, width) or (height, width, 3) RGB.

    Raises:
        TrainingError: It is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise TrainingError(
            f"{path.name} is missing or is not an image.", remedy="Prepare the dataset again."
        )
    return np.ascontiguousarray(image[:, :, ::-1]) if image.ndim == 3 else image


def _file_arrays(pixels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """What goes into each file, in OpenCV's order of colours."""
    if pixels.ndim == 2:
        return [pixels]
    if pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return [pixels[:, :, ::-1]]
    return [pixels[:, :, channel] for channel in range(pixels.shape[2])]


def png_names(folder: Path) -> set[str]:
    """Of the PNG files in a folder; files half written have a leading dot."""
    names = file_names(folder)
    return {name for name in names if name.endswith(".png") and not name.startswith(".")}


def _images(workspace: Workspace, case_id: str) -> tuple[Path, ...]:
    paths: list[Path] = []
    while (path := workspace.image_png(case_id, len(paths))).exists():
        paths.append(path)
    return tuple(paths)


def _remove_images(workspace: Workspace, case_id: str, *, start: int) -> None:
    number = start
    while (path := workspace.image_png(case_id, number)).exists():
        path.unlink()
        number += 1


def _png(array: npt.NDArray[Any]) -> bytes:
    ok, data = cv2.imencode(".png", np.ascontiguousarray(array), _PNG_SPEED)
    if not ok:
        raise TrainingError(f"An array of shape {array.shape} can't be written as PNG.")
    return bytes(data)

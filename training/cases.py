"""CaseFiles: one case on disk, as nnU-Net reads it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from converters.files import write_bytes
from domain.errors import TrainingError
from domain.geometry import LabelMap
from training.workspace import Workspace

_PNG_SPEED = [cv2.IMWRITE_PNG_COMPRESSION, 1]
"""Fastest zlib level: 3 times quicker than OpenCV's default, files about a tenth larger."""


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """A case whose files are written.

    ``content_hash`` changes when image or label map change; nothing else decides whether the case
    is preprocessed again.
    """

    case_id: str
    image_png: Path
    label_png: Path
    content_hash: str


def with_channels(image: npt.NDArray[Any], n_channels: int) -> npt.NDArray[Any]:
    """An image with exactly ``n_channels`` channels.

    nnU-Net fails late on grey images among colour ones; here grey is repeated into colour, colour
    becomes grey by the luma of ITU-R BT.601, and an alpha channel is dropped.

    Args:
        image: (height, width), or (height, width, 1 to 4), uint8 or uint16, in RGB(A) order.
        n_channels: 1 or 3.

    Returns:
        (height, width) for 1 channel, (height, width, 3) for 3; the same dtype.

    Raises:
        TrainingError: The array is no such image.
    """
    if n_channels not in (1, 3):
        raise ValueError(f"n_channels must be 1 or 3, got {n_channels}")
    if (
        image.dtype not in (np.uint8, np.uint16)
        or image.ndim not in (2, 3)
        or image.size == 0
        or (image.ndim == 3 and image.shape[2] > 4)
    ):
        raise TrainingError(
            f"An image must be uint8 or uint16 with 1 to 4 channels, got {image.dtype} "
            f"of shape {image.shape}.",
            remedy="Convert it to grey or RGB with 8 or 16 bits.",
        )
    if image.ndim == 3:
        # 2 channels are grey with alpha, 4 are RGB with alpha.
        image = image[:, :, 0] if image.shape[2] < 3 else image[:, :, :3]
    if n_channels == 3:
        return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim == 2:
        return image
    luma = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    grey: npt.NDArray[Any] = np.rint(luma).astype(image.dtype)
    return grey


def write_case(
    workspace: Workspace,
    case_id: str,
    image: npt.NDArray[Any],
    label_map: LabelMap,
    *,
    n_channels: int,
) -> CaseFiles:
    """Writes the two PNG files of a case into nnU-Net's raw folder, each atomically.

    Args:
        workspace: The project.
        case_id: Letters, digits, ``_``, ``-``, ``.``.
        image: As for ``with_channels``.
        label_map: (height, width) uint8 of the image's size.
        n_channels: 1 or 3, the same for the whole project.

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
    image_png, label_png = workspace.image_png(case_id), workspace.label_png(case_id)
    write_bytes(image_png, _png(pixels[:, :, ::-1] if pixels.ndim == 3 else pixels))
    write_bytes(label_png, _png(labels))
    return CaseFiles(case_id, image_png, label_png, digest.hexdigest())


def read_image(path: Path) -> npt.NDArray[Any]:
    """A PNG that ``write_case`` wrote: (height, width) or (height, width, 3) RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise TrainingError(
            f"{path.name} is missing or is not an image.", remedy="Prepare the dataset again."
        )
    return np.ascontiguousarray(image[:, :, ::-1]) if image.ndim == 3 else image


def _png(array: npt.NDArray[Any]) -> bytes:
    ok, data = cv2.imencode(".png", np.ascontiguousarray(array), _PNG_SPEED)
    if not ok:
        raise TrainingError(f"An array of shape {array.shape} can't be written as PNG.")
    return bytes(data)

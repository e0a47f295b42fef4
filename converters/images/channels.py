"""Several images of a task stacked as the channels of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.errors import ImageError
from domain.geometry import Pixels


def stack_channels(images: Mapping[str, Pixels], task_id: int) -> npt.NDArray[Any]:
    """Stacks images (modalities, filters, frames) of one scene in their order.

    Where one of them is a colour image, all become three channels, so that the number of channels
    says what they are.

    Args:
        images: Name -> (height, width) or (height, width, 3), uint8 or uint16, at least 1.
        task_id: Named in errors.

    Returns:
        A single image as it is; of k images (height, width, k), or (height, width, 3 k) with
        colour. uint16 as soon as one image is; values stay what they are.

    Raises:
        ImageError: ``channel_sizes``: their sizes differ.
    """
    check_sizes(images, task_id)
    rows: list[npt.NDArray[Any]] = list(images.values())
    if len(rows) == 1:
        return rows[0]
    if any(image.ndim == 3 for image in rows):
        rows = [i if i.ndim == 3 else np.repeat(i[:, :, None], 3, axis=2) for i in rows]
    return np.dstack(rows)


def check_sizes(images: Mapping[str, Pixels], task_id: int) -> None:
    """Makes sure that the images of a task lie on top of each other.

    Raises:
        ImageError: ``channel_sizes``: their sizes differ.
    """
    first_name, first = next(iter(images.items()))
    for name, image in images.items():
        if image.shape[:2] != first.shape[:2]:
            raise ImageError(
                task_id,
                "channel_sizes",
                f"its image {name!r} has {image.shape[1]} x {image.shape[0]} pixels, but "
                f"{first_name!r} has {first.shape[1]} x {first.shape[0]}; as channels they must "
                "lie on top of each other.",
                remedy="Bring the images of the task to one size, or change the setting "
                "`channels`.",
            )

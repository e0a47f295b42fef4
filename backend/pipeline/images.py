"""A task's image: from its data fields to pixels."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from backend.label_studio import LabelStudioClient
from backend.store.models import TaskRow
from converters.channels import stack_channels
from converters.images import Pixels, read_image, without_empty_color
from converters.pages import first_page
from domain.annotation import Task
from domain.errors import ImageError
from domain.labels import LabelConfig


def image_uris(task: TaskRow, config: LabelConfig) -> tuple[str, ...]:
    """The raw values of the task's image fields in order; ImageError when one is missing."""
    return tuple(image_uri(task, key) for key in config.image_keys)


def load_image(client: LabelStudioClient, task: TaskRow, config: LabelConfig) -> npt.NDArray[Any]:
    """Fetches and decodes the image of a task, or its images as channels of one.

    Returns:
        (height, width) grey or (height, width, 3) RGB, uint8 or uint16, turned as browsers turn it;
        an RGB image without any colour comes back grey. Of k channels (height, width, k), or
        (height, width, 3 k) when one of them has colour.

    Raises:
        ImageError: An image is missing, refused, or no image, or their sizes differ.
        LabelStudioError: Label Studio does not answer: no fault of this task.
    """
    images = {
        key: _load(client, task, uri)
        for key, uri in zip(config.image_keys, image_uris(task, config), strict=True)
    }
    return stack_channels(images, task.id)


def image_uri(task: TaskRow | Task, key: str) -> str:
    """The raw value of one image field of a task, of several pages the first.

    Raises:
        ImageError: It is missing.
    """
    value = first_page(task.data.get(key))
    if not isinstance(value, str) or not value:
        raise ImageError(
            task.id,
            "image_missing",
            f"its data has no image in the field {key!r}.",
            remedy="Import the task again with that field, or delete it.",
        )
    return value


def _load(client: LabelStudioClient, task: TaskRow, uri: str) -> Pixels:
    try:
        data = client.fetch_image(uri, task.id, task.project_id)
    except ImageError as error:
        if error.reason == "image_unreachable":
            # While Label Studio is down this raises: the whole step waits for it, instead of
            # going on without every image that it serves.
            client.project(task.project_id)
        raise
    return without_empty_color(read_image(data, task.id))

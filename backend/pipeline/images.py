"""A task's image: from its data field to pixels."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from backend.label_studio import LabelStudioClient
from backend.store.models import TaskRow
from converters.images import read_image, without_empty_color
from domain.errors import ImageError
from domain.labels import LabelConfig


def image_uri(task: TaskRow, config: LabelConfig) -> str:
    """The raw value of the task's image field; ImageError when the field is missing."""
    value = task.data.get(config.image_key)
    if not isinstance(value, str) or not value:
        raise ImageError(
            task.id,
            "image_missing",
            f"its data has no image in the field {config.image_key!r}.",
            remedy="Import the task again with that field, or delete it.",
        )
    return value


def load_image(client: LabelStudioClient, task: TaskRow, config: LabelConfig) -> npt.NDArray[Any]:
    """Fetches and decodes the image of a task.

    Returns:
        (height, width) grey or (height, width, 3) RGB, uint8 or uint16, EXIF orientation applied;
        an RGB image without any colour comes back grey.

    Raises:
        ImageError: The image is missing, refused, or no image.
        LabelStudioError: Label Studio does not answer: no fault of this task.
    """
    try:
        data = client.fetch_image(image_uri(task, config), task.id, task.project_id)
    except ImageError as error:
        if error.reason == "image_unreachable":
            # While Label Studio is down this raises: the whole step waits for it, instead of
            # going on without every image that it serves.
            client.project(task.project_id)
        raise
    return without_empty_color(read_image(data, task.id))

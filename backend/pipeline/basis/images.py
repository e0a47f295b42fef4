"""A task's image: from its data fields to pixels, and to the identity of its content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy.typing as npt

from backend.label_studio.images import FetchedImage
from backend.pipeline.basis.context import AppContext, ImageServer
from backend.settings import ProjectSettings
from backend.store import identity
from backend.store.models import TaskRow
from backend.store.tasks import elsewhere
from converters.addresses.pages import first_page
from converters.images.channels import stack_channels
from converters.images.image_pixels import read_image, without_empty_color
from converters.label_studio.config.label_config import parse_label_config
from domain.annotation import Task
from domain.errors import ImageError, LabelConfigError
from domain.labels import LabelConfig


def image_keys_of(label_config: str, settings: ProjectSettings) -> tuple[str, ...] | None:
    """The task data fields of a project's images; None when its interface can't be read."""
    try:
        return parse_label_config(label_config, channels=settings.channels).image_keys
    except LabelConfigError:
        return None


def image_uris(task: TaskRow, config: LabelConfig) -> tuple[str, ...]:
    """The raw values of the task's image fields in order; ImageError when one is missing."""
    return tuple(image_uri(task, key) for key in config.image_keys)


def load_image(context: AppContext, task: TaskRow, config: LabelConfig) -> npt.NDArray[Any]:
    """Fetches and decodes the image of a task, or its images as channels of one.

    ``image_hash`` and ``image_tag`` of the row given, and of the one in the store, become those of
    what was fetched, if it is an image: a login page or half a file says nothing about it.

    Returns:
        (height, width) grey or (height, width, 3) RGB, uint8 or uint16, turned as browsers turn it;
        an RGB image without any colour comes back grey. Of k channels (height, width, k), or
        (height, width, 3 k) when one of them has colour.

    Raises:
        ImageError: An image is missing, refused, or no image, or their sizes differ.
        LabelStudioError: Label Studio does not answer: no fault of this task.
    """
    server = context.images
    fetched = [_fetch(server, task, uri) for uri in image_uris(task, config)]
    images = {
        key: without_empty_color(read_image(one.data, task.id))
        for key, one in zip(config.image_keys, fetched, strict=True)
    }
    known, content = (task.image_hash, task.image_tag), _content_of(fetched)
    task.image_hash, task.image_tag = content
    if content != known:
        _keep(context, task)
    return stack_channels(images, task.id)


def is_overwritten(context: AppContext, task: TaskRow, config: LabelConfig) -> bool:
    """Whether the images are others than when they were last fetched, under the same addresses.

    Where servers gave a tag of each (ETag, Last-Modified), they are asked with it and nothing more
    is read; otherwise the images are fetched and compared. One that can't be fetched, or is no
    image, counts as unchanged.

    Raises:
        LabelStudioError: Label Studio does not answer.
    """
    uris = image_uris(task, config)
    server, known = context.images, task.image_hash
    tags = task.image_tag.split("\n") if task.image_tag else [""] * len(uris)
    try:
        if all(
            tag and server.fetch_changed(uri, task.id, task.project_id, unless_tag=tag) is None
            for uri, tag in zip(uris, tags, strict=False)
        ):
            return False
        fetched = [_fetch(server, task, uri) for uri in uris]
        content = _content_of(fetched)
        if content == (known, task.image_tag):
            return False
        for one in fetched:
            read_image(one.data, task.id)
    except ImageError:
        return False
    task.image_hash, task.image_tag = content
    _keep(context, task)
    return bool(known) and task.image_hash != known


def _keep(context: AppContext, task: TaskRow) -> None:
    """Stores what was seen; what was predicted of the image before is to be withdrawn."""
    with context.store.begin() as session:
        if identity.keep_image(session, task):
            elsewhere.forget_task(session, task.project_id, task.id)


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


def _content_of(fetched: list[FetchedImage]) -> tuple[str, str]:
    """Hash over the bytes; the tags, a line each, "" when one has none."""
    digests = [hashlib.sha256(image.data).hexdigest() for image in fetched]
    tags = [image.tag for image in fetched]
    tag = "\n".join(tags) if all(tags) else ""
    if len(digests) == 1:
        return digests[0], tag
    return hashlib.sha256("".join(digests).encode()).hexdigest(), tag


def _fetch(server: ImageServer, task: TaskRow, uri: str) -> FetchedImage:
    try:
        image = server.fetch_changed(uri, task.id, task.project_id)
        return image or FetchedImage(b"")
    except ImageError as error:
        if error.reason == "image_unreachable":
            # While Label Studio is down this raises: the whole step waits for it, instead of
            # going on without every image that it serves.
            server.project(task.project_id)
        raise

"""Addresses of images and other texts of a task's data."""

from __future__ import annotations

from contextlib import suppress

from backend.label_studio.images import _decode_data_uri, shown
from backend.label_studio.reach.own_paths import gets_key, web_address
from backend.store.identity import source_in
from converters.addresses.image_address import (
    identity_of,
    is_upload,
    names_an_image,
    path_of,
    places,
    storage_path_of,
)
from converters.addresses.upload_names import name_keys, stored_name, without_prefix
from converters.images.groups import GroupKey
from converters.images.of_tasks import FolderImages, file_stem, image_name, longer_names
from converters.images.pixel_spacing import spacing_from
from domain.annotation import Task
from domain.errors import ImageError
from tests.fuzzing import scratch, small
from tests.fuzzing.target import Target, parsed

_ADDRESSES = (
    "/data/upload/1/0a1b2c3d-scan.png",
    "/data/local-files/?d=a%20b/c.png",
    "s3://bucket/dir/scan#3.png",
    "https://user:pw@example.org:8443/a/b.png?x=1#y",
    "http://localhost:8080/tasks/1/resolve/?fileuri=czM6Ly9iL2EucG5n",
    "data:image/png;base64,iVBORw0KGgo=",
    "../a/./b.tif",
)


def _address(text: str) -> None:
    is_upload(text), names_an_image(text), name_keys(text)
    for read in (path_of, storage_path_of, identity_of, stored_name, without_prefix):
        read(text)
    file_stem(text), shown(text)
    for place in places(text):
        assert not place.startswith("/") and ".." not in place.split("/")
    with suppress(UnicodeError):  # an address whose host has letters of no name
        url = web_address(text)
        if url is not None:
            gets_key("http://localhost:8080/ls", url)
    if text.startswith("data:"):
        with suppress(ImageError):
            _decode_data_uri(text, 1, 10**6)


def _task_data(data: bytes) -> None:
    value = parsed(data)
    if not isinstance(value, dict):  # the row's reader has refused it
        return
    task = Task(1, 1, value)
    image_name(task, "image")
    longer_names(task, "image")
    source_in(value, "", ["image", "t2"])
    for key in ("patient", r"name:^(.+)_\d"):
        GroupKey.parse(key).group_of(task, "image")
    with suppress(ValueError):
        spacing_from(value.get("spacing"))
    with scratch.folder() as folder:
        scratch.written(folder / "a" / "scan.png", small.picture(small.grey(), "PNG"))
        images = FolderImages(folder, ["image"])
        images.stamp(task)
        images.missing(task)
        images.spacing_mm(task)
        list(images.doubtful())
        images.read(task, "image")


TARGETS = (
    Target(
        "address",
        lambda: [address.encode() for address in _ADDRESSES],
        lambda data: _address(data.decode("utf-8", "surrogatepass")),
        allowed=(UnicodeDecodeError,),
    ),
    Target(
        "task_data",
        lambda: [
            small.packed_json({"image": address, "patient": "P1", "spacing": [0.1, 0.2]})
            for address in (*_ADDRESSES, "a/scan.png")
        ],
        _task_data,
    ),
)

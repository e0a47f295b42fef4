"""Which task has an image: by its address in every form, and by its content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np
import pytest

from backend.label_studio import LabelStudioClient
from backend.pipeline.files import attach
from backend.pipeline.files.attach import Match, ProjectIndex
from converters.imports.run import keys_of
from converters.imports.source import ImportedImage
from domain.annotation import Task
from domain.errors import ImageError
from tests.fakes.label_studio import FakeLabelStudio, png


def _pixels(seed: int) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 255, (20, 30), dtype=np.uint8))


def _project(*uris: str) -> FakeLabelStudio:
    """Tasks 1, 2, ... with these addresses and images of their own."""
    studio = FakeLabelStudio()
    for number, uri in enumerate(uris, start=1):
        studio.tasks[number] = Task(number, studio.info.id, {"image": uri})
        studio.images[uri] = _pixels(number)
    return studio


def _index(studio: FakeLabelStudio) -> ProjectIndex:
    return ProjectIndex(cast(LabelStudioClient, studio), studio.info.id, "image")


def _image(name: str, *stems: str) -> ImportedImage:
    return ImportedImage(5, name, "", name, None, stems=stems)


def _find(
    studio: FakeLabelStudio, name: str, *stems: str, path: Path | None = None, twice: bool = False
) -> int | None:
    image = _image(name, *stems)
    match = _index(studio).find(image, path, [name], keys_of(image) if twice else ())
    assert match is None or isinstance(match, Match)
    return None if match is None else match.task_id


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/upload/3/0a1b2c3d-my_scan_1.png", "my scan (1).png"),
        ("/data/upload/3/0a1b2c3d-gr%C3%B6%C3%9Fe.png", "gro\u0308ße.png"),
        ("/data/upload/3/0a1b2c3d-gro%C3%9Fe.png", "größe.png"),  # was uploaded in NFD
        ("/data/upload/3/0a1b2c3d-scan.png", "0a1b2c3d-scan.png"),
        ("/data/upload/3/0a1b2c3d-scan.png", "ffffffff-scan.png"),  # of another project
        ("/data/upload/3/0a1b2c3d-gr_e.png", "größe.png"),  # as nnloop uploads it
        ("/data/local-files/?d=scans%2Fa%20b%26.png", "a b&.png"),
        ("https://host/x/a%20b.png?X-Amz-Signature=1", "a b.png"),
        ("s3://bucket/deep/a b.png", "a b.png"),
        ("http://[a/b.png", "b.png"),
    ],
)
def test_names_in_every_form(uri: str, name: str) -> None:
    studio = _project("/data/upload/3/11111111-else.png", uri)
    assert _find(studio, name) == 2
    assert studio.fetched == [2]  # for its size


def test_masks_are_of_the_image_with_their_stem() -> None:
    studio = _project("/data/upload/3/0a1b2c3d-my_scan.jpg")
    assert _find(studio, "my scan_mask.png", "my scan_mask", "my scan") == 1
    with pytest.raises(ImageError, match="several images of the source"):
        _find(studio, "my scan_mask.png", "my scan_mask", "my scan", twice=True)


def test_folders_tell_equal_names_apart() -> None:
    uris = [f"/data/local-files/?d=all/p{i}/a.png" for i in (1, 2)]
    studio = _project(*uris)
    assert [_find(studio, f"p{i}/a.png", twice=True) for i in (1, 2)] == [1, 2]
    for name in ("a.png", "p3/a.png"):
        with pytest.raises(ImageError) as caught:
            _find(studio, name)
        assert caught.value.reason == "ambiguous_task"
    assert _find(studio, "b.png") is None


def test_the_source_may_say_which_task_of_one_image_is_meant(tmp_path: Path) -> None:
    uri = "/data/local-files/?d=all/a.png"
    studio = _project(uri, uri, "/data/local-files/?d=all/b.png")
    path = tmp_path / "a.png"
    path.write_bytes(studio.images[uri])
    for task_id in (1, 2):
        image = replace(_image("a.png"), task_id=task_id)
        for file in (None, path):
            match = _index(studio).find(image, file, ["a.png"], keys_of(image))
            assert match is not None
            assert match.task_id == task_id
    for stranger in (3, 9):  # not a task of this image
        with pytest.raises(ImageError, match="tasks 1, 2 have the image"):
            _index(studio).find(replace(_image("a.png"), task_id=stranger), None, ["a.png"], ())


def test_content_goes_before_the_name(tmp_path: Path) -> None:
    studio = _project("/data/upload/1/0a1b2c3d-a.png", "/data/upload/1/1a1b2c3d-a.png")
    path = tmp_path / "a.png"
    path.write_bytes(_pixels(2))
    assert _find(studio, "a.png", path=path, twice=True) == 2
    path.write_bytes(_pixels(9))
    with pytest.raises(ImageError, match="same name but other pixels") as caught:
        _find(studio, "a.png", path=path)
    assert caught.value.reason == "other_image"
    studio.images["/data/upload/1/0a1b2c3d-a.png"] = _pixels(2)
    path.write_bytes(_pixels(2))
    with pytest.raises(ImageError, match="tasks 1, 2 have the image"):
        _find(studio, "a.png", path=path)


def test_equal_pixels_in_another_file_are_the_image(tmp_path: Path) -> None:
    studio = _project("/data/upload/1/0a1b2c3d-a.png")
    path = tmp_path / "a.png"
    path.write_bytes(_pixels(1) + b"trailing")
    assert _find(studio, "a.png", path=path) == 1


def test_without_a_name_only_content_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = _project("data:image/png;base64,AAAA", "/data/upload/1/0a1b2c3d-b.png", "/lost.png")
    del studio.images["/lost.png"]
    path = tmp_path / "renamed.png"
    path.write_bytes(_pixels(2))
    assert _find(studio, "renamed.png", path=path) == 2
    # Of a large project only images without a name are fetched.
    monkeypatch.setattr(attach, "MAX_COMPARED", 2)
    studio.fetched.clear()
    assert _find(studio, "renamed.png", path=path) is None
    assert studio.fetched == [1]
    path.write_bytes(_pixels(1))
    assert _find(studio, "renamed.png", path=path) == 1


def test_an_image_that_can_not_be_compared_is_not_guessed(tmp_path: Path) -> None:
    studio = _project("/data/upload/1/0a1b2c3d-a.png")
    studio.images.clear()
    path = tmp_path / "a.png"
    path.write_bytes(_pixels(1))
    for given in (path, None):
        with pytest.raises(ImageError, match="does not exist"):
            _find(studio, "a.png", path=given)


def test_a_large_project_is_indexed_once() -> None:
    uris = [f"/data/upload/1/{i:08x}-scan_{i}.png" for i in range(5000)]
    studio = _project(*uris)
    index = _index(studio)
    for number in (1, 2500, 5000):
        name = PurePosixPath(uris[number - 1]).name[9:]
        match = index.find(_image(name), None, [name], ())
        assert match is not None and match.task_id == number
    assert studio.calls.count("iter_heads") == 1

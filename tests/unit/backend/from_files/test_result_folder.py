"""A folder of predictions: no mask of another image, nothing of anybody else's written over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.from_files.predictions.inputs import ImageInput, find_images
from backend.from_files.predictions.result_folder import JOB, ResultFolder
from converters.bookkeeping.files import write_json
from converters.bookkeeping.work_index import WorkIndex
from domain.errors import FileFormatError, ImageError

TABLES = ("classes.json", "predictions.csv")


def picture(path: Path, content: bytes) -> ImageInput:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (10**9, 10**9))
    return ImageInput(path, path.name)


@contextmanager
def opened(out: Path, made_by: str = "v1") -> Iterator[tuple[ResultFolder, WorkIndex]]:
    with WorkIndex(out / ".index", out, JOB) as index:
        yield ResultFolder(index, out, made_by), index


def predict(folder: ResultFolder, out: Path, *images: ImageInput) -> list[str]:
    """Names of those that were not current; a "mask" holds what its image holds."""
    folder.check(images, TABLES)
    done = []
    for image in images:
        if folder.is_current(image, image.stamp):
            continue
        stem = folder.claim(image, lambda stem: [f"{stem}.png"])
        (out / f"{stem}.png").write_bytes(image.path.read_bytes())
        content = image.content_hash()
        folder.done(image, image.stamp, content, [f"{stem}.png"], {"rows": []})
        done.append(image.name)
    return done


def test_images_that_have_changed_places_are_predicted_again(tmp_path: Path) -> None:
    """A renamed file keeps its size and the time it was written."""
    out = tmp_path / "out"
    a, b = picture(tmp_path / "a.bmp", b"one"), picture(tmp_path / "b.bmp", b"two")
    with opened(out) as (folder, _):
        assert predict(folder, out, a, b) == ["a.bmp", "b.bmp"]
    a.path.rename(tmp_path / "x")
    b.path.rename(a.path)
    (tmp_path / "x").rename(b.path)
    with opened(out) as (folder, _):
        assert predict(folder, out, a, b) == ["a.bmp", "b.bmp"]
        assert (out / "a.png").read_bytes() == b"two"
        assert predict(folder, out, a, b) == []


def test_images_that_lie_elsewhere_or_were_written_again_are_the_same(tmp_path: Path) -> None:
    out = tmp_path / "out"
    a = picture(tmp_path / "scans" / "a.png", b"one")
    with opened(out) as (folder, _):
        predict(folder, out, a)
    (tmp_path / "scans").rename(tmp_path / "moved")
    moved = ImageInput(tmp_path / "moved" / "a.png", "a.png")
    with opened(out) as (folder, _):
        assert predict(folder, out, moved) == []
        os.utime(moved.path)
        assert predict(folder, out, moved) == []
        assert folder.forget_gone({"a.png"}, []) == 0
    with opened(out) as (folder, _):
        assert folder.forget_gone((), []) == 0  # it is known where it lies now
        moved.path.write_bytes(b"two")
        assert predict(folder, out, moved) == ["a.png"]


def test_a_file_of_the_same_name_elsewhere_takes_no_mask(tmp_path: Path) -> None:
    out = tmp_path / "out"
    one = picture(tmp_path / "p1" / "IM01", b"one")
    with opened(out) as (folder, _):
        predict(folder, out, one)
    with opened(out) as (folder, _):
        two = picture(tmp_path / "p2" / "IM01", b"two")
        with pytest.raises(ImageError, match="p1/IM01 is called so too"):
            folder.is_current(two, two.stamp)
        assert (out / "IM01.png").read_bytes() == b"one"
        one.path.unlink()
        assert predict(folder, out, two) == ["IM01"]


def test_only_what_was_made_of_images_that_are_gone_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    a, b, c = (picture(tmp_path / d / f"{d}.png", d.encode()) for d in "abc")
    for image in (a, b, c):  # one call for each, as in a loop of a shell
        with opened(out) as (folder, _):
            predict(folder, out, image)
            assert folder.forget_gone({image.name}, []) == 0
    b.path.unlink()
    c.path.unlink()
    with opened(out) as (folder, index):
        predict(folder, out, a)
        # The disk of c may be away; b's has other images.
        assert folder.forget_gone({"a.png"}, [tmp_path / "c"]) == 1
        assert index.counts()[0] == 2
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "c.png"]


@pytest.mark.parametrize("name", ["a.png", "classes.json", "predictions.csv", "a.nii.gz"])
def test_what_somebody_else_has_written_stays(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    theirs = picture(out / name, b"drawn by hand")
    a = theirs if name == "a.png" else picture(tmp_path / "a.png", b"one")
    for _ in range(2):  # also when it is tried again
        with opened(out) as (folder, _), pytest.raises(FileFormatError, match=name):
            folder.check([a], TABLES)
    assert (out / name).read_bytes() == b"drawn by hand"


def test_a_folder_without_any_mask_yet_is_known_by_its_report(tmp_path: Path) -> None:
    for name in TABLES:
        write_json(tmp_path / name, {})
    write_json(tmp_path / "report.json", {"format": JOB})
    with opened(tmp_path) as (folder, _):
        folder.check([], TABLES)


def test_a_mask_in_the_way_costs_one_image(tmp_path: Path) -> None:
    out = tmp_path / "out"
    a, b = picture(tmp_path / "a.png", b"one"), picture(tmp_path / "b.png", b"two")
    with opened(out) as (folder, _):
        predict(folder, out, a)
        picture(out / "b.png", b"drawn by hand")
        with pytest.raises(ImageError, match=r"b\.png is there"):
            predict(folder, out, b)
    assert (out / "b.png").read_bytes() == b"drawn by hand"


def test_a_killed_call_leaves_nothing_in_its_own_way_and_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    a, b = picture(tmp_path / "a.png", b"one"), picture(tmp_path / "b.png", b"two")
    with opened(out) as (folder, _):
        for image in (a, b):  # killed after each mask, before it was kept
            stem = folder.claim(image, lambda stem: [f"{stem}.png"])
            (out / f"{stem}.png").write_bytes(b"half")
    b.path.unlink()
    with opened(out) as (folder, _):
        assert predict(folder, out, a) == ["a.png"]
        folder.forget_gone({"a.png"}, [])
    assert [path.name for path in out.glob("*.png")] == ["a.png"]


def test_masks_of_two_models_do_not_lie_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "out"
    a, b = picture(tmp_path / "a.png", b"one"), picture(tmp_path / "b.png", b"two")
    with opened(out, "v1") as (folder, _):
        predict(folder, out, a, b)
    with opened(out, "v2") as (folder, _):
        with pytest.raises(FileFormatError, match=r"1 other image, as of b\.png"):
            predict(folder, out, a)
        assert predict(folder, out, a, b) == ["a.png", "b.png"]


def test_folders_behind_links_are_found_and_circles_end(tmp_path: Path) -> None:
    picture(tmp_path / "disk" / "p1" / "a.png", b"one")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "p1" / "up").symlink_to(tmp_path / "disk")
    (tmp_path / "in" / ".hidden").symlink_to(tmp_path / "disk" / "p1")
    (tmp_path / "in" / "results").symlink_to(tmp_path / "out")
    picture(tmp_path / "out" / "m.png", b"mask")
    found = [image.name for image in find_images([tmp_path / "in"], tmp_path / "out")]
    assert found == ["linked/p1/a.png"]

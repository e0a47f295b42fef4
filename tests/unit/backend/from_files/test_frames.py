"""DICOM of several frames, to train on and to predict; images whose channels are files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK

from backend.from_files.labels.guess import placed
from backend.from_files.labels.sources import OtherSource
from backend.from_files.labels.stacks import GROUP_KEY, has_stacks, unstack
from backend.from_files.networks.predict import _Stack
from backend.from_files.predictions.inputs import ImageInput, find_images, joined
from backend.from_files.predictions.results import Predicted, ResultOptions, Results
from converters.images.image_pixels import read_image
from converters.images.medical_pixels import load_slices, n_pictures
from converters.imports.formats import format_by_name
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import FileFormatError, ImageError
from tests.unit.backend.from_files.material import SIDE, read, write_image
from tests.unit.backend.from_files.test_other_sources import drawn

N = 3
HIGH = SIDE + 10
"""Frames are higher than they are wide, so that nothing turned stays unseen."""


def frames(*colors: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    shape = (N, HIGH, SIDE, *colors)
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def write_clip(path: Path, array: npt.NDArray[np.uint8]) -> None:
    image = SimpleITK.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetMetaData("0008|0060", "US")
    SimpleITK.WriteImage(image, str(path.with_suffix(".dcm")))
    path.with_suffix(".dcm").rename(path)


def write_masks(path: Path, masks: npt.NDArray[np.uint8]) -> None:
    """As 3D Slicer and ITK-SNAP save a segmentation of a clip."""
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(masks), str(path))


def masks_of(seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 3, (N, HIGH, SIDE), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    about = {"background": 0, "lumen": 1, "wall": 2}
    (tmp_path / "masks" / "classes.json").write_text(json.dumps(about))
    return tmp_path


@pytest.mark.parametrize("name", ["clip.dcm", "clip.DCM", "clip", "clip.ima"])
@pytest.mark.parametrize("colors", [(), (3,)])
def test_frames_are_slices(tmp_path: Path, name: str, colors: tuple[int, ...]) -> None:
    write_clip(tmp_path / name, frames(*colors))
    (image,) = find_images([tmp_path], tmp_path / "out")
    assert (image.n_slices(), image.stem) == (N, "clip")
    stack = _Stack(N)
    for number in range(N):
        (found,) = stack.read(image, number)
        np.testing.assert_array_equal(found.pixels, frames(*colors)[number])
        assert found.spacing_mm is None


def test_masks_of_frames_lie_as_the_frames_do(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.dcm", frames(3))
    config = parse_label_config(polygon_label_config(["lumen", "wall"]))
    results = Results(tmp_path / "out", config, ResultOptions(overlays=True), "nnloop-v1")
    image = ImageInput(tmp_path / "clip.dcm", "clip.dcm")
    said = [Predicted(mask, 0.5, 0.4, 0.6) for mask in masks_of(1)]
    files, record = results.write_stack(image, image.stem, load_slices(image.path), said)
    assert files == ["clip.nii.gz", *(f"overlays/clip_{k:04d}.png" for k in range(N))]
    written: Any = SimpleITK.ReadImage(str(tmp_path / "out" / "clip.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), masks_of(1))
    clip: Any = SimpleITK.ReadImage(str(image.path))
    assert written.GetDirection() == clip.GetDirection()
    assert [row[0] for row in record["rows"]] == [f"clip.dcm:{k}" for k in range(N)]


def test_clips_are_learned_frame_by_frame_in_one_group(folder: Path) -> None:
    write_clip(folder / "images" / "a.dcm", frames())
    write_clip(folder / "images" / "b", frames(3, seed=1))  # without an ending
    write_masks(folder / "masks" / "a.nii.gz", masks_of(0))
    # As nibabel saves an array of (column, row, frame) without saying how it lies.
    lies = nibabel.Nifti1Image(masks_of(1).transpose(2, 1, 0), np.eye(4))
    nibabel.save(lies, folder / "masks" / "b.nii")
    labels, images = placed(folder, "masks", None)
    assert images is not None and has_stacks(labels)
    found = unstack(labels, images, folder / "slices")
    assert found.left_out == ()
    for name, array in (("a", frames()), ("b", frames(3, seed=1))):
        for number in range(N):
            data = (found.images / f"{name}__slice{number:04d}.png").read_bytes()
            np.testing.assert_array_equal(read_image(data, 0), array[number])
    source = OtherSource(format_by_name("masks"), found.labels, found.images)
    context, reading = read(folder / "out", source, group_key=GROUP_KEY)
    assert (reading.labelled, reading.left_out) == (2 * N, ())
    maps = drawn(context, (HIGH, SIDE))
    for name, masks in (("a", masks_of(0)), ("b", masks_of(1))):
        for number in range(N):
            np.testing.assert_array_equal(maps[f"{name}__slice{number:04d}.png"], masks[number])


def test_a_broken_clip_is_named_and_costs_no_other(folder: Path) -> None:
    write_clip(folder / "images" / "good.dcm", frames())
    whole = (folder / "images" / "good.dcm").read_bytes()
    (folder / "images" / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "images" / "head.dcm").write_bytes(whole[:300])
    write_clip(folder / "images" / "short.dcm", frames()[:2])
    for name in ("good", "cut", "head", "short", "gone"):
        write_masks(folder / "masks" / f"{name}.nii.gz", masks_of(0))
    found = unstack(folder / "masks", folder / "images", folder / "slices")
    said = {note.message.partition(":")[0]: note.message for note in found.left_out}
    assert sorted(said) == [f"{name}.nii.gz" for name in ("cut", "gone", "head", "short")]
    assert "damaged DICOM" in said["cut.nii.gz"]
    assert "shape" in said["short.nii.gz"]
    assert {path.name[:4] for path in found.images.iterdir()} == {"good"}
    # Whole again, it is taken.
    shutil.copyfile(folder / "images" / "good.dcm", folder / "images" / "cut.dcm")
    found = unstack(folder / "masks", folder / "images", folder / "slices")
    assert len(found.left_out) == 3


def test_what_is_no_clip_is_one_picture(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"nothing")
    assert [n_pictures(tmp_path / name) for name in ("a.png", "b.dcm", "gone")] == [1, 1, 1]
    with pytest.raises(FileFormatError, match="damaged"):
        load_slices(tmp_path / "b.dcm")


def test_files_of_channels_are_one_image(tmp_path: Path) -> None:
    for seed, name in enumerate(("a_0000", "a_0001", "b_0000", "c", "d_0001")):
        write_image(tmp_path / f"{name}.png", seed)
    files = list(find_images([tmp_path], tmp_path / "out"))
    assert list(joined(files, 1)) == files
    found = {image.name: image for image in joined(files, 2)}
    # A second channel without a first one is no image either, and is not passed over.
    assert list(found) == ["a_0000.png", "b_0000.png", "c.png", "d_0001.png"]
    whole = found["a_0000.png"]
    assert whole.stem == "a"
    assert [one.pixels.mean() for one in whole.read()] == [
        read_image((tmp_path / f"a_000{k}.png").read_bytes(), 0).mean() for k in range(2)
    ]
    before = whole.stamp
    write_image(tmp_path / "a_0001.png", 9)
    assert whole.stamp != before
    for name in ("b_0000.png", "c.png", "d_0001.png"):
        with pytest.raises(ImageError, match="2 channels"):
            found[name].read()


def test_stacks_of_channels_have_one_shape(tmp_path: Path) -> None:
    write_clip(tmp_path / "a_0000.dcm", frames())
    write_clip(tmp_path / "a_0001.dcm", frames(seed=1))
    (image,) = joined(find_images([tmp_path], tmp_path / "out"), 2)
    found = _Stack(N).read(image, 1)
    np.testing.assert_array_equal(found[1].pixels, frames(seed=1)[1])
    write_clip(tmp_path / "a_0001.dcm", frames()[:2])
    with pytest.raises(ImageError, match="several shapes"):
        _Stack(N).read(image, 1)

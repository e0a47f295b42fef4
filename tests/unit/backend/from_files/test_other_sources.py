"""Masks and other tools' files as sources of a training."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from backend.from_files.context import PROJECT, FilesContext
from backend.from_files.labels.guess import guess_format, placed
from backend.from_files.labels.sources import OtherSource
from backend.from_files.labels.stacks import GROUP_KEY, has_stacks, unstack
from backend.pipeline.basis.annotations import label_config_of, label_map_of
from backend.store import projects
from backend.store.tasks import snapshots
from converters.exports.nifti import nifti_bytes
from converters.images.groups import GroupKey
from converters.images.image_pixels import read_image
from converters.imports.formats import format_by_name
from converters.imports.source import ImportOptions
from domain.annotation import Task
from domain.errors import FileFormatError
from domain.geometry import LabelMap
from tests.unit.backend.from_files.material import SIDE, read, task, write_export, write_image


def masks_of(folder: Path, masks: dict[str, LabelMap]) -> OtherSource:
    for name in ("images", "masks"):
        (folder / name).mkdir(exist_ok=True)
    for old in (folder / "masks").iterdir():
        old.unlink()
    for seed, (name, mask) in enumerate(masks.items()):
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
        if not (folder / "images" / f"{name}.png").exists():
            write_image(folder / "images" / f"{name}.png", seed)
    path, images = placed(folder, "masks", None)
    options = ImportOptions(("lumen", "wall"))
    return OtherSource(format_by_name("masks"), path, images, options, empty_as_negative=True)


def noise(seed: int) -> LabelMap:
    """Ragged regions with holes, single pixels, touching the border and each other."""
    return np.random.default_rng(seed).integers(0, 3, (SIDE, SIDE), dtype=np.uint8)


def drawn(context: FilesContext, size_hw: tuple[int, int] = (SIDE, SIDE)) -> dict[str, LabelMap]:
    """Image -> its label map, as a training draws it."""
    with context.store.read() as session:
        project = projects.get(session, PROJECT)
        config = label_config_of(project, project.settings)
        found = {}
        for row, _ in snapshots.submitted_annotations(session, PROJECT):
            chosen = snapshots.chosen_of_task(session, row, "latest")
            label_map, notes = label_map_of(chosen, config, size_hw, project.settings, [])
            assert not notes
            found[str(row.data["image"])] = label_map
    return found


def test_masks_come_back_pixel_by_pixel(tmp_path: Path) -> None:
    masks = {"a": noise(0), "b": noise(1), "nothing": np.zeros((SIDE, SIDE), np.uint8)}
    masks["all"] = np.full((SIDE, SIDE), 2, np.uint8)
    context, reading = read(tmp_path / "out", masks_of(tmp_path, masks))
    assert (reading.labelled, reading.empty, reading.left_out) == (4, 1, ())
    found = drawn(context)
    for name, mask in masks.items():
        np.testing.assert_array_equal(found[f"{name}.png"], mask)


def test_read_again_only_what_changed_is_new(tmp_path: Path) -> None:
    masks = {"a": noise(0), "b": noise(1), "c": noise(2)}
    read(tmp_path / "out", masks_of(tmp_path, masks))
    again = {"b": noise(1), "c": noise(7), "d": noise(3)}
    context, reading = read(tmp_path / "out", masks_of(tmp_path, again))
    assert reading.labelled == 3
    found = drawn(context)
    assert set(found) == {"b.png", "c.png", "d.png"}
    np.testing.assert_array_equal(found["c.png"], again["c"])
    # One that comes back is the task it was.
    context, _ = read(tmp_path / "out", masks_of(tmp_path, masks))
    with context.store.read() as session:
        ids = {
            str(row.data["image"]): row.id
            for row, _ in snapshots.submitted_annotations(session, PROJECT)
        }
    assert ids == {"a.png": 1, "b.png": 2, "c.png": 3}
    np.testing.assert_array_equal(drawn(context)["a.png"], masks["a"])


def test_an_image_that_is_not_there_is_left_out_by_its_name(tmp_path: Path) -> None:
    source = masks_of(tmp_path, {"a": noise(0), "b": noise(1)})
    (tmp_path / "images" / "b.png").unlink()
    _, reading = read(tmp_path / "out", source)
    assert reading.labelled == 1
    assert "'b.png'" in reading.left_out[0].message


def test_formats_are_told_by_what_they_look_like(tmp_path: Path) -> None:
    assert guess_format(write_export(tmp_path, [task(1, [])])) == "label-studio"
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert guess_format(tmp_path / "coco.json") == "coco"
    (tmp_path / "nnunet" / "labelsTr").mkdir(parents=True)
    assert guess_format(tmp_path / "nnunet") == "masks"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="can't be told"):
        guess_format(tmp_path / "empty")
    with pytest.raises(FileFormatError, match="no file or folder"):
        guess_format(tmp_path / "gone")


def test_a_data_set_of_nnunet_in_nifti(tmp_path: Path) -> None:
    """Labels and images of one slice each, with the names in dataset.json."""
    root = tmp_path / "Dataset007_Vessels"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    labels = '{"background": 0, "lumen": 1, "wall": 2}'
    (root / "dataset.json").write_text('{"labels": ' + labels + "}")
    images = {}
    for seed, name in enumerate(("one", "two")):
        images[name] = np.random.default_rng(seed).integers(0, 999, (SIDE, SIDE)).astype(np.uint16)
        image = nifti_bytes(images[name], (0.5, 0.2))
        (root / "imagesTr" / f"{name}_0000.nii.gz").write_bytes(image)
        (root / "labelsTr" / f"{name}.nii.gz").write_bytes(nifti_bytes(noise(seed), (0.5, 0.2)))
    path, folder = placed(root, guess_format(root), None)
    source = OtherSource(format_by_name("masks"), path, folder, empty_as_negative=True)
    context, reading = read(tmp_path / "out", source)
    assert (reading.labelled, reading.left_out) == (2, ())
    found = drawn(context)
    np.testing.assert_array_equal(found["one_0000.nii.gz"], noise(0))
    fetched = context.images.fetch_changed("two_0000.nii.gz", 2, PROJECT)
    assert fetched is not None
    np.testing.assert_array_equal(read_image(fetched.data, 2), images["two"])


def volume(slices: Sequence[npt.NDArray[Any]], *, lies: float) -> bytes:
    """A stack as nnU-Net has it; ``lies`` turns its axes round."""
    array = np.stack([one.T for one in slices], axis=2)
    return gzip.compress(nibabel.Nifti1Image(array, np.diag([lies, lies, 2.0, 1.0])).to_bytes())


def test_stacks_are_learned_slice_by_slice_in_one_group(tmp_path: Path) -> None:
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    masks = {"a": [noise(k) for k in range(3)], "b": [noise(7), np.zeros((SIDE, SIDE), np.uint8)]}
    for name, slices in masks.items():
        pixels = [np.full((SIDE, SIDE), 10 * k, np.int16) - 5 for k in range(len(slices))]
        image = volume(pixels, lies=-1.0)
        (tmp_path / "imagesTr" / f"{name}_0000.nii.gz").write_bytes(image)
        (tmp_path / "labelsTr" / f"{name}.nii.gz").write_bytes(volume(slices, lies=-1.0))
    labels, images = placed(tmp_path, "masks", None)
    assert images is not None and has_stacks(labels)
    found = unstack(labels, images, tmp_path / "slices")
    assert found.left_out == ()
    options = ImportOptions(("lumen", "wall"))
    source = OtherSource(
        format_by_name("masks"), found.labels, found.images, options, empty_as_negative=True
    )
    context, reading = read(tmp_path / "out", source, group_key=GROUP_KEY)
    assert (reading.labelled, reading.empty, reading.left_out) == (5, 1, ())
    maps = drawn(context)
    for name, slices in masks.items():
        for number, mask in enumerate(slices):
            np.testing.assert_array_equal(maps[f"{name}__slice{number:04d}.png"], mask)
    key = GroupKey.parse(GROUP_KEY)
    groups = {key.group_of(Task(1, 1, {"image": name}), "image") for name in maps}
    assert groups == {"a", "b"}
    # Taken apart again, only what changed is; one whose image does not fit is named.
    before = (found.images / "a__slice0000.png").stat().st_mtime_ns
    (tmp_path / "labelsTr" / "b.nii.gz").write_bytes(volume([noise(1)] * 3, lies=-1.0))
    found = unstack(labels, images, tmp_path / "slices")
    assert (found.images / "a__slice0000.png").stat().st_mtime_ns == before
    assert "b.nii.gz: it has the shape" in found.left_out[0].message
    assert not (found.images / "b__slice0000.png").exists()


def test_classes_of_masks_keep_the_order_of_their_integers(tmp_path: Path) -> None:
    first, second = noise(1), noise(2)
    first[first == 1] = 0  # the one with the integer 2 appears first
    source = masks_of(tmp_path, {"a": first, "b": second})
    unnamed = replace(source, options=ImportOptions())
    assert read(tmp_path / "unnamed", unnamed)[1].classes == ("class_1", "class_2")
    (tmp_path / "masks" / "classes.json").write_text('{"background": 0, "wall": 1, "lumen": 2}')
    named = replace(unnamed, order=("wall", "lumen"))
    assert read(tmp_path / "named", named)[1].classes == ("wall", "lumen")

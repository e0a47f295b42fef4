"""Masks in files, and what stands beside them about classes and channels."""

from __future__ import annotations

from pathlib import Path

from converters.classes.integers import classes_beside, unions_beside, unions_said
from converters.images.nifti_slices import n_slices
from converters.imports.readers.masks import read_masks
from converters.imports.source import ImportOptions
from converters.masks.channel_files import channels_of
from converters.masks.image_list import images_of_masks
from converters.masks.label_map_files import read_label_map, read_label_volume, read_slice
from domain.errors import FileFormatError
from tests.fuzzing import scratch, small
from tests.fuzzing.target import Target, say

_COLORS = small.packed_json({"background": 0, "lumen": 1, "wall": 2})
_MASK = small.picture(small.classes(), "PNG")


def _mask(data: bytes, ending: str) -> None:
    with scratch.folder() as folder:
        path = scratch.written(folder / f"one{ending}", data)
        for read in (read_label_map, read_label_volume):
            try:
                read(path)
            except FileFormatError as error:
                error.in_full.encode()
        if ending.startswith(".nii"):
            assert n_slices(path) >= 0
            read_slice(path)
        say(read_masks(folder, ImportOptions()))


def _beside(data: bytes, name: str) -> None:
    """A file beside a folder of masks."""
    with scratch.folder() as folder:
        scratch.written(folder / "labelsTr" / "a.png", _MASK)
        scratch.written(folder / "imagesTr" / "a_0000.png", _MASK)
        scratch.written(folder / name, data)
        labels = folder / "labelsTr"
        try:
            _about(labels, folder / "imagesTr")
        except FileFormatError as error:
            error.in_full.encode()
        say(read_masks(folder, ImportOptions()))


def _about(labels: Path, images: Path) -> None:
    known = classes_beside(labels)
    images_of_masks(labels)
    unions_said(labels)
    channels_of(labels, images, ["a"])
    unions_beside(labels, known.names)


_DATASET = {
    "channel_names": {"0": "t1", "1": "t2"},
    "labels": {"background": 0, "lumen": 1, "wall": 2},
    "numTraining": 1,
    "file_ending": ".png",
}
_UNIONS = {
    **_DATASET,
    "labels": {"background": 0, "vessel": [1, 2], "lumen": 1},
    "regions_class_order": [2, 1],
}

TARGETS = (
    Target(
        "mask_picture",
        lambda: [
            _MASK,
            small.palette_png(),
            small.png_16_rgb(),
            small.picture(small.classes() * 255, "TIFF"),
            small.picture(small.classes(), "GIF"),
        ],
        lambda data: _mask(data, ".png"),
        most_mib=1500,
    ),
    Target(
        "mask_nifti",
        lambda: [small.nifti(labels=True), small.nifti(3, labels=True)],
        lambda data: _mask(data, ".nii.gz"),
        most_mib=2500,
    ),
    Target("mask_npy", lambda: [small.npy()], lambda data: _mask(data, ".npy"), most_mib=2500),
    Target(
        "dataset_json",
        lambda: [small.packed_json(_DATASET), small.packed_json(_UNIONS)],
        lambda data: _beside(data, "dataset.json"),
    ),
    Target("classes_json", lambda: [_COLORS], lambda data: _beside(data, "classes.json")),
    Target(
        "images_json",
        lambda: [small.packed_json([{"mask": "labelsTr/a.png", "image": "a.jpg", "task_id": 7}])],
        lambda data: _beside(data, "images.json"),
    ),
    Target(
        "labelmap_txt",
        lambda: [b"# label:color:parts:actions\nbackground:0,0,0::\nlumen:255,0,0::\n"],
        lambda data: _beside(data, "labelmap.txt"),
    ),
)

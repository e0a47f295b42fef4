"""Bytes of images, as tasks name them and folders hold them."""

from __future__ import annotations

import numpy as np

from converters.images.image_pixels import read_picture
from converters.images.medical_pixels import load_slices, medical_kind, n_pictures
from converters.images.of_tasks import image_size_hw
from domain.errors import FileFormatError, ImageError
from tests.fuzzing import scratch, small
from tests.fuzzing.target import Target


def _read(data: bytes, ending: str) -> None:
    """As a task's image, then as a file of a folder."""
    try:
        picture = read_picture(data, 1)
        assert picture.pixels.dtype in (np.uint8, np.uint16)
        assert picture.pixels.ndim in (2, 3) and picture.pixels.size
    except ImageError as error:
        error.in_full.encode()
    with scratch.folder() as folder:
        path = scratch.written(folder / f"one{ending}", data)
        try:
            assert min(image_size_hw(path, 1)) > 0
        except ImageError as error:
            error.in_full.encode()
        if medical_kind(data[:4096]):
            assert n_pictures(path) >= 0
            try:
                load_slices(path).slice(0)
            except FileFormatError as error:
                error.in_full.encode()


def _color() -> np.ndarray:  # type: ignore[type-arg]
    return np.stack([small.grey(), small.classes() * 90, small.grey()], axis=2)


TARGETS = (
    Target(
        "image_png",
        lambda: [
            small.picture(small.grey(), "PNG"),
            small.picture(small.grey().astype(np.uint16) * 200, "PNG"),
            small.png_16_rgb(),
            small.palette_png(),
        ],
        lambda data: _read(data, ".png"),
        most_mib=1000,
    ),
    Target(
        "image_jpeg",
        lambda: [small.turned_jpeg(), small.picture(small.grey(), "JPEG")],
        lambda data: _read(data, ".jpg"),
        most_mib=1000,
    ),
    Target(
        "image_tiff",
        lambda: (
            [
                small.picture(small.grey(), "TIFF", compression=kind)
                for kind in ("raw", "tiff_lzw", "tiff_deflate", "jpeg")
            ]
            + [small.picture(small.grey().astype(np.uint16), "TIFF")]
        ),
        lambda data: _read(data, ".tif"),
        most_mib=1000,
    ),
    Target(
        "image_other",
        lambda: [small.picture(_color(), kind) for kind in ("BMP", "GIF", "WEBP", "PPM", "AVIF")],
        lambda data: _read(data, ".webp"),
        most_mib=1000,
    ),
    Target(
        "image_dicom",
        lambda: [small.dicom(), small.dicom(3)],
        lambda data: _read(data, ".dcm"),
        most_mib=2500,
    ),
    Target(
        "image_nifti",
        lambda: [small.nifti(), small.nifti(3, is_packed=False), small.nifti(2)],
        lambda data: _read(data, ".nii.gz" if data[:2] == b"\x1f\x8b" else ".nii"),
        most_mib=2500,
    ),
)

"""Small valid files of every kind that nnloop reads: the seeds."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 12, 16


def grey() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(height, width): a slope."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    found: np.ndarray[Any, np.dtype[np.uint8]] = (rows * 10 + columns * 5).astype(np.uint8)
    return found


def classes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(height, width): a map of the classes 0, 1, 2."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[2:7, 3:9], found[6:10, 8:14] = 1, 2
    return found


def picture(array: Any, kind: str, **options: Any) -> bytes:
    """An image file."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def png_16_rgb() -> bytes:
    """A PNG of three channels of 16 bits."""
    import cv2

    wide = np.stack([grey().astype(np.uint16) * 257] * 3, axis=2)
    return bytes(cv2.imencode(".png", wide)[1])


def palette_png() -> bytes:
    """A PNG with a palette and a transparent colour."""
    image = Image.fromarray(classes(), "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    out = io.BytesIO()
    image.save(out, "PNG", transparency=0)
    return out.getvalue()


def turned_jpeg() -> bytes:
    """A JPEG that its EXIF block turns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(np.stack([grey()] * 3, axis=2), "JPEG", exif=exif.tobytes())


def nifti(n_slices: int = 1, *, is_packed: bool = True, labels: bool = False) -> bytes:
    """A NIfTI file."""
    import nibabel

    one = classes() if labels else grey()
    stack = np.stack([one.T] * n_slices, axis=2)
    image = nibabel.Nifti1Image(stack, np.diag([-0.3, -0.2, 2.0, 1.0]))
    image.header.set_xyzt_units("mm")
    found: bytes = image.to_bytes()
    return gzip.compress(found, 1, mtime=0) if is_packed else found


def dicom(n_frames: int = 1) -> bytes:
    """A DICOM file."""
    import tempfile
    from pathlib import Path

    import SimpleITK

    frames = np.stack([grey()] * n_frames) if n_frames > 1 else grey()
    image = SimpleITK.GetImageFromArray(frames)
    image.SetMetaData("0008|0060", "US")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.dcm"
        SimpleITK.WriteImage(image, str(path))
        return path.read_bytes()


def npy() -> bytes:
    """A NumPy array of classes."""
    out = io.BytesIO()
    np.save(out, classes())
    return out.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip, packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def packed_json(value: Any) -> bytes:
    """JSON as it stands in a file."""
    return json.dumps(value).encode()

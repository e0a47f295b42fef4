"""Image files <-> arrays, as Label Studio shows them: turned as browsers turn them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from converters.bookkeeping.files import new_file
from converters.images.medical_pixels import HEAD_BYTES, MedicalImage, medical_kind, read_medical
from converters.images.orientation import orientation_of, turned
from domain.errors import ImageError
from domain.geometry import MAX_PIXELS, Pixels
from domain.text import one_line

UNREADABLE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    cv2.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on foreign bytes; its documentation promises only OSError. The last says that
a picture claims to be very large, and is no ValueError."""

_PNG = b"\x89PNG\r\n\x1a\n"
_STARTS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"GIF8": "GIF",
}
"""What files of a format begin with. BMP is not among them: a text may begin with BM."""

_GREY_16 = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})


def read_image(data: bytes, task_id: int) -> Pixels:
    """Decodes an image file (PNG, JPEG, TIFF, BMP, WebP, GIF, ...; the first frame of several).

    DICOM and NIfTI of one picture too, as ``medical_pixels`` reads them.

    Turned as browsers turn it (``orientation``). Palettes, CMYK and other colour spaces
    become RGB, transparency is dropped, 1-bit images become 0 and 255.

    Args:
        data: the file.
        task_id: named in errors.

    Returns:
        (height, width) grey or (height, width, 3) RGB; uint8, or uint16 from 16-bit files.

    Raises:
        ImageError: reason ``not_an_image``, ``too_large`` (more than ``MAX_PIXELS``),
            ``several_images`` (of DICOM and NIfTI), or ``unsupported_pixels`` (floats, or integers
            beyond 16 bits, but for DICOM and NIfTI).
    """
    return read_picture(data, task_id).pixels


def read_picture(data: bytes, task_id: int) -> MedicalImage:
    """As ``read_image``, with the size of a pixel where the file says it."""
    if medical_kind(data[:HEAD_BYTES]):
        return read_medical(data, task_id)
    try:
        return MedicalImage(_decoded(data, task_id))
    except Image.DecompressionBombError as error:
        raise _too_large(task_id, str(error)) from error
    except UNREADABLE as error:
        kind = _kind_of(data)
        other = "a whole one" if kind else "a PNG, JPEG, TIFF, BMP or WebP image"
        raise ImageError(
            task_id,
            "not_an_image",
            f"its file of {len(data)} bytes is a damaged or incomplete {kind} image."
            if kind
            else f"its file of {len(data)} bytes can't be read as an image ({_start_of(data)}).",
            remedy=f"Replace the file by {other}, or delete the task.",
        ) from error


def without_empty_color(image: Pixels) -> Pixels:
    """An RGB image whose channels are all equal as grey; any other as it is.

    Many exporters save grey scans as RGB; one such file must not make a whole set a colour one.

    Args:
        image: (height, width) or (height, width, 3).
    """
    if (
        image.ndim == 3
        and np.array_equal(image[..., 0], image[..., 1])
        and np.array_equal(image[..., 1], image[..., 2])
    ):
        grey: npt.NDArray[Any] = np.ascontiguousarray(image[..., 0])
        return grey
    return image


def write_png(path: Path, array: Pixels) -> None:
    """Writes a PNG so that a reader sees the old file or the whole new one, never a part.

    Args:
        path: the folder must exist.
        array: (height, width) or (height, width, 3) RGB; uint8 or uint16.

    Raises:
        ValueError: for another type or shape.
        OSError: if the file can't be written.
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"A PNG holds uint8 or uint16, got {array.dtype}.")
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"An image must be (height, width[, 3]), got the shape {array.shape}.")
    stored = array if array.ndim == 2 else array[:, :, ::-1]  # OpenCV's order is BGR
    encoded = cv2.imencode(".png", np.ascontiguousarray(stored))[1].tobytes()
    part = new_file(path.parent, f".{path.name}.", ".part")
    try:
        part.write_bytes(encoded)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _decoded(data: bytes, task_id: int) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _too_large(task_id, f"it has {width} x {height} pixels")
        orientation = orientation_of(image)
        if _is_rgb_16(image):
            return _rgb_16(data, orientation)
        return _as_array(turned(image, orientation), task_id)


def _as_array(image: Image.Image, task_id: int) -> Pixels:
    mode = image.mode
    if mode in ("L", "RGB"):
        return np.array(image, dtype=np.uint8)
    if mode in ("1", "LA", "La"):
        return np.array(image.convert("L"), dtype=np.uint8)
    if mode in _GREY_16:
        return np.array(image).astype(np.uint16)
    if mode == "I":
        wide = np.array(image)
        if wide.min() >= 0 and wide.max() <= np.iinfo(np.uint16).max:
            return wide.astype(np.uint16)
    if mode in ("I", "F"):
        raise ImageError(
            task_id,
            "unsupported_pixels",
            f"its image holds {'floats' if mode == 'F' else 'integers beyond 16 bits'}.",
            remedy="Convert it to 8 or 16 bits per channel.",
        )
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _is_rgb_16(image: Image.Image) -> bool:
    """Pillow would read such a PNG with the low byte cut off. To be asked before it is loaded."""
    tiles: list[Any] = getattr(image, "tile", [])
    return image.format == "PNG" and any("RGB" in str(t[3]) and ";16" in str(t[3]) for t in tiles)


def decoded_16(data: bytes) -> npt.NDArray[Any] | None:
    """A PNG or TIFF of 16 bits a channel as OpenCV reads it: (height, width, 3 or 4), BGR or BGRA.

    None where it can't. OpenCV makes room for as many bytes as a chunk of a PNG says it has: 126
    bytes took 2 GB.
    """
    if data.startswith(_PNG) and not _has_whole_chunks(data):
        return None
    found: npt.NDArray[Any] | None = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
    )
    return found


def _has_whole_chunks(data: bytes) -> bool:
    """Whether no chunk of a PNG says that it goes on beyond the file's end."""
    at = len(_PNG)
    while at + 8 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return data[at : at + 4] == b"\0\0\0\0"
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return at <= len(data)


def _rgb_16(data: bytes, orientation: int) -> npt.NDArray[np.uint16]:
    decoded = decoded_16(data)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise ValueError("OpenCV can't decode this 16-bit PNG.")
    rgb = decoded[:, :, 2::-1]  # BGR or BGRA -> RGB
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb, dtype=np.uint16)


def _too_large(task_id: int, what: str) -> ImageError:
    return ImageError(
        task_id,
        "too_large",
        f"its image is too large: {what.rstrip('.')}; the limit is {MAX_PIXELS:,} pixels.",
        remedy="Scale it down or cut it into tiles.",
    )


def _kind_of(data: bytes) -> str:
    """The format of which a file has the beginning; "" for none of those that are known."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), "")


def _start_of(data: bytes) -> str:
    """The first bytes where they are a text: an HTML error page shows itself."""
    if not data:
        return "it is empty"
    start = data[:32].decode("ascii", errors="replace")
    text = one_line(start)
    is_text = "\ufffd" not in start and len(text) > len(start) // 2
    return f"it starts with '{text}'" if is_text else "it begins as no known image does"

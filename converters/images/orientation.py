"""Orientation: how a browser, and so Label Studio's editor, turns an image file before it shows it.

Measured in Chromium: the EXIF block of JPEG and PNG counts, in AVIF the rotation boxes; not the
XMP packet of any format, not EXIF in WebP, nor ImageMagick's "Raw profile type exif" in PNG. In
the block only a well-formed entry counts (one SHORT, 1 to 8), in PNG only a block before the
pixels, in JPEG only the first block. Pillow's ``exif_transpose`` applies all of these.

No browser shows TIFF; Pillow turns it by its own tag as it reads it.
"""

from __future__ import annotations

import struct

from PIL import Image

UPRIGHT = 1

_FORMATS = frozenset({"JPEG", "MPO", "PNG", "AVIF"})
"""MPO is what Pillow calls a JPEG with more pictures behind the first. For AVIF it gives the
rotation boxes as an EXIF block."""

_HEADER = b"Exif\0\0"
_TAG, _SHORT = 0x0112, 3
_SWAPS_SIDES = frozenset({5, 6, 7, 8})
_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image) -> int:
    """1 to 8, as in EXIF; ``UPRIGHT`` where a browser turns nothing.

    Args:
        image: Just opened, its pixels not loaded: what stands behind a PNG's pixels comes too late.
    """
    block = image.info.get("exif")
    if image.format not in _FORMATS or not isinstance(block, bytes):
        return UPRIGHT
    return _in_block(block.removeprefix(_HEADER))


def turned_size_hw(image: Image.Image) -> tuple[int, int]:
    """(height, width) in pixels of an image just opened, as a browser shows it."""
    width, height = image.size
    return (width, height) if orientation_of(image) in _SWAPS_SIDES else (height, width)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image as a browser shows it; itself where it is upright."""
    method = _METHODS.get(orientation)
    return image if method is None else image.transpose(method)


def _in_block(tiff: bytes) -> int:
    """The orientation of a TIFF header with its first directory; whatever is broken says nothing.

    Read by hand: Pillow's reader takes malformed entries that browsers refuse, and warns of others.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (n_entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for position in range(start + 2, start + 2 + 12 * n_entries, 12):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, position)
            if tag == _TAG:
                is_sound = kind == _SHORT and count == 1 and value in _METHODS
                return value if is_sound else UPRIGHT
    except struct.error:  # cut short
        pass
    return UPRIGHT

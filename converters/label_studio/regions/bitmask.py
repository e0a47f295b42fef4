"""Bitmasks: ``imageDataURL``, a PNG of the size drawn on whose alpha channel is the mask."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from converters.label_studio.regions.drawing import Drawing, RegionError, Where, nothing
from converters.label_studio.regions.mask import alpha_to_drawing
from converters.label_studio.regions.value import Value
from domain.geometry import MAX_PIXELS

_PREFIX = "data:image/png;base64,"
_UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, MemoryError)
"""What Pillow's PNG decoder raises on foreign bytes."""


def read(value: Value, where: Where) -> Drawing:
    """The pixels that are at least half opaque."""
    url = value.get("imageDataURL")
    if not isinstance(url, str):
        raise RegionError("has an imageDataURL that is no text")
    if not url or url == "data:,":  # what an empty canvas gives
        return nothing("empty_region", "has an empty bitmask")
    if not url.startswith(_PREFIX):
        raise RegionError(f"has an imageDataURL that starts with {url[:24]!r}, not {_PREFIX!r}")
    try:
        data = base64.b64decode(url[len(_PREFIX) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RegionError("has an imageDataURL that is no base64") from error
    alpha = _alpha_of(data)
    if alpha.shape != where.drawn_hw:
        height, width = alpha.shape
        raise RegionError(
            f"has a bitmask of {width} x {height} pixels, but was drawn on "
            f"{where.drawn_hw[1]} x {where.drawn_hw[0]}"
        )
    return alpha_to_drawing(alpha, where.size_hw, "bitmask")


def _alpha_of(data: bytes) -> npt.NDArray[np.uint8]:
    """(height, width) uint8 alpha of a PNG; its size is checked before it is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:
                if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
                    raise RegionError("has a bitmask without transparency: it covers everything")
                return np.array(image.convert("RGBA").getchannel("A"), dtype=np.uint8)
    except RegionError:
        raise
    except (Image.DecompressionBombError, *_UNREADABLE) as error:
        raise RegionError(f"has a bitmask of {len(data)} bytes that is no PNG") from error
    raise RegionError(
        f"has a bitmask of {width} x {height} pixels; the limit is {MAX_PIXELS:,}", "too_large"
    )

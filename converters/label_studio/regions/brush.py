"""Brush strokes: ``rle``, the SDK's run lengths over an RGBA image of the size drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.label_studio.regions.drawing import Drawing, RegionError, Where, nothing
from converters.label_studio.regions.mask import alpha_to_drawing
from converters.label_studio.regions.value import Value
from domain.geometry import MAX_PIXELS
from domain.text import counted, shown

MAX_RLE_BYTES = 8_000_000
"""A longer list is refused: decoding takes about 70 bytes of memory for each. The editor writes
four equal channels, so a mask of a 4K image takes some 100,000."""


def read(value: Value, where: Where) -> Drawing:
    """The pixels painted, at least half opaque; one of another size is sampled at its centres."""
    rle = value.get("rle")
    if not isinstance(rle, list):
        raise RegionError("has an rle that is no list of bytes")
    if len(rle) > MAX_RLE_BYTES:
        raise RegionError(
            f"has a brush mask of {len(rle):,} bytes; the limit is {MAX_RLE_BYTES:,}", "too_large"
        )
    if not _is_bytes(rle):
        raise RegionError("has an rle that is no list of bytes")
    if value.get("format", "rle") != "rle":
        raise RegionError(f"has the brush format {shown(value['format'])}, not 'rle'")
    if not rle:
        return nothing("empty_region", "has an empty brush mask")
    height, width = where.drawn_hw
    n_values = int.from_bytes(bytes(rle[:4]), "big")
    if n_values == 0:
        return nothing("empty_region", "has an empty brush mask")
    if width * height > MAX_PIXELS:
        raise RegionError(
            f"has a brush mask of {width} x {height} pixels; the limit is {MAX_PIXELS:,}",
            "too_large",
        )
    # Four channels, as the editor writes them; some scripts write the mask alone.
    n_channels, rest = divmod(n_values, width * height)
    if rest or n_channels not in (1, 4):
        raise RegionError(
            f"has a brush mask of {counted(n_values, 'value')}, which is none of {width} x "
            f"{height} pixels"
        )
    decoded = _decode(rle)
    alpha = decoded.reshape(height, width, n_channels)[:, :, -1]
    return alpha_to_drawing(alpha, where.size_hw, "brush mask")


def _is_bytes(rle: list[Any]) -> bool:
    return all(type(x) is int and 0 <= x <= 255 for x in rle)


def _decode(rle: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The SDK's own function; it is slow to import."""
    from label_studio_sdk.converter.brush import decode_rle

    try:
        decoded: npt.NDArray[np.uint8] = decode_rle(rle)
    except (ValueError, OverflowError, IndexError) as error:
        raise RegionError("has an rle that ends too early or holds no bytes") from error
    return decoded

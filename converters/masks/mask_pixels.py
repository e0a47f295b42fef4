"""Mask pictures -> label maps: one set of rules for every pixel format.

Rules, in this order:

- 1-bit, grey, float and palette pictures hold the classes: 0 is background, k is class k. Values
  of 16 bits that are 8-bit ones stretched (65535, multiples of 257) are brought back.
- A palette's integer counts, not its colour, unless its black is not integer 0 (a palette ordered
  by a packer) or its greys are the integers in another order: then the colour counts.
- Colour pictures whose channels are equal are grey; other colours become classes named by colour
  (``#ff0000``), and black is background.
- Transparent pixels are background. Where what is visible has one grey, black or white, the mask is
  in the transparency: what is visible is white.
- Lossy pictures (JPEG, WebP) hold a mask only if all their pixels are nearly black or white.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from converters.images.image_pixels import UNREADABLE, decoded_16
from domain.errors import FileFormatError
from domain.geometry import MAX_PIXELS, LabelMap

WHITE = 255
"""What a mask of one class often holds instead of 1."""

MAX_COLORS = 64
"""A picture of more colours is a photograph, not a mask."""

_LOSSY = frozenset({"JPEG", "MPO", "WEBP"})
_NEARLY = 64
"""Grey values by which compression may change black and white."""

_WHITE_32 = 2**31 - 1
"""White of 32 bits."""

_STRETCH = 257
"""65535 / 255: an 8-bit value written as 16 bits."""

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class MaskPicture:
    """A mask as its picture has it.

    Attributes:
        label_map: (height, width) uint8, 0 = background.
        colors: Integer -> ``#rrggbb`` of a colour picture; empty for any other.
        doubt: What was taken for granted in reading it, as the end of a sentence; "" for nothing.
    """

    label_map: LabelMap
    colors: dict[int, str] = field(default_factory=dict)
    doubt: str = ""


def decode_mask(data: bytes, name: str) -> MaskPicture:
    """Reads a picture file by the rules above.

    Args:
        data: The file.
        name: Named in errors.

    Raises:
        FileFormatError: It is no picture, too large, has several pages, or holds no mask.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileFormatError(f"{name} has more than {MAX_PIXELS:,} pixels.")
            n_pages = int(getattr(image, "n_frames", 1))
            if n_pages > 1:
                raise FileFormatError(
                    f"{name} has {n_pages} pages.", remedy="Write every page to a file of its own."
                )
            values, alpha = _planes(image, data)
            is_lossy = image.format in _LOSSY
    except UNREADABLE as error:
        what = "is no image" if isinstance(error, UnidentifiedImageError) else "can't be read"
        raise FileFormatError(f"{name} {what} ({type(error).__name__}).") from error
    if values.ndim == 3 and _is_grey(values):
        values = np.ascontiguousarray(values[:, :, 0])
    if is_lossy:
        values = _without_loss(values, name)
    if values.ndim == 3:
        return _by_color(_to_8_bits(values, name), alpha, name)
    return MaskPicture(as_label_map(_shown(values, alpha), name))


def as_label_map(values: Values, name: str) -> LabelMap:
    """Numbers of any type as (height, width) uint8; ``name`` is named in errors.

    Raises:
        FileFormatError: They are fractions, negative or beyond 255.
    """
    if (
        values.size
        and values.dtype.kind not in "bui"
        and not np.array_equal(values, np.rint(values))
    ):
        raise FileFormatError(
            f"{name} holds fractions, not classes.",
            remedy="Write the class integers, not probabilities.",
        )
    return _to_8_bits(values, name)


def _planes(image: Image.Image, data: bytes) -> tuple[Values, Values | None]:
    """Grey (height, width) or colour (height, width, 3) as stored, and the alpha or None."""
    mode = image.mode
    tiles: list[Any] = getattr(image, "tile", [])
    if mode in ("LA", "RGB", "RGBA") and any("16" in str(tile[3]) for tile in tiles):
        return _planes_16(data)  # Pillow would cut off the low byte
    if mode == "P":
        if _palette_counts(image):
            mode = "RGBA" if "transparency" in image.info else "RGB"
            image = image.convert(mode)
        else:
            return np.asarray(image), None
    if mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        bands = np.asarray(image.convert("LA" if mode in ("LA", "La") else "RGBA"))
        values = bands[:, :, 0] if bands.shape[2] == 2 else bands[:, :, :3]
        return values, bands[:, :, -1]
    if mode in ("1", "L", "I", "F") or mode.startswith("I;16"):
        return np.asarray(image), None
    return np.asarray(image.convert("RGB")), None


def _planes_16(data: bytes) -> tuple[Values, Values | None]:
    decoded = decoded_16(data)
    if decoded is None or decoded.ndim != 3:
        raise ValueError("OpenCV can't decode this 16-bit picture.")
    values = decoded[:, :, 2::-1]  # BGR or BGRA -> RGB
    return values, decoded[:, :, 3] if decoded.shape[2] == 4 else None


def _palette_counts(image: Image.Image) -> bool:
    """Whether the colours of a palette say what is what, and not its integers."""
    palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(np.asarray(image))
    if len(used) == 0 or used[-1] >= len(palette):
        return False
    colors = palette[used]
    is_black = ~colors.any(axis=1)
    if is_black.any() and not (used[is_black] == 0).any() and used[0] == 0:
        return True
    greys = colors[:, 0]
    return bool((colors == greys[:, None]).all() and np.array_equal(np.unique(greys), used))


def _is_grey(values: Values) -> bool:
    first = values[:, :, 0]
    return all(np.array_equal(first, values[:, :, i]) for i in (1, 2))


def _visible(alpha: Values | None) -> npt.NDArray[np.bool_] | None:
    """(height, width) bool; None where transparency tells nothing apart."""
    if alpha is None or alpha.size == 0 or alpha.min() == alpha.max():
        return None
    inside: npt.NDArray[np.bool_] = alpha > alpha.max() / 2
    return inside


def _shown(values: Values, alpha: Values | None) -> Values:
    inside = _visible(alpha)
    if inside is None:
        return values
    shown = np.unique(values[inside])
    full = np.iinfo(values.dtype).max
    if len(shown) == 1 and shown[0] in (0, full):
        return np.where(inside, np.uint8(WHITE), np.uint8(0))
    return np.where(inside, values, np.zeros_like(values))


def _without_loss(values: Values, name: str) -> Values:
    if values.ndim == 3:
        # A grey picture that was compressed in colour keeps a little of it.
        spread = values.max(axis=2).astype(int) - values.min(axis=2)
        if spread.max(initial=0) < _NEARLY:
            values = values[:, :, 1]
    if values.ndim == 2:
        nearly = (values < _NEARLY) | (values > WHITE - _NEARLY)
        if nearly.all():
            return np.where(values > WHITE // 2, np.uint8(WHITE), np.uint8(0))
    raise FileFormatError(
        f"{name} is a lossy picture (JPEG, WebP) of more than black and white: its values are no "
        "classes.",
        remedy="Write masks as PNG.",
    )


def _by_color(values: Values, alpha: Values | None, name: str) -> MaskPicture:
    packed = (values.astype(np.uint32) << np.array([16, 8, 0], dtype=np.uint32)).sum(axis=2)
    inside = _visible(alpha)
    if inside is not None:
        packed = np.where(inside, packed, 0)
    found, integers = np.unique(packed, return_inverse=True)
    if len(found) > MAX_COLORS:
        raise FileFormatError(
            f"{name} is a colour picture of {len(found):,} colours, not a mask.",
            remedy="Write masks as grey or palette PNG with the class integer in each pixel.",
        )
    first = 0 if found[0] == 0 else 1
    label_map = (integers.reshape(packed.shape) + first).astype(np.uint8)
    colors = {i: f"#{int(c):06x}" for i, c in enumerate(found.tolist(), start=first) if i}
    return MaskPicture(label_map, colors)


def _to_8_bits(values: Values, name: str) -> npt.NDArray[np.uint8]:
    highest, lowest = values.max(initial=0), values.min(initial=0)
    if highest == _WHITE_32 and set(np.unique(values).tolist()) <= {0, _WHITE_32}:
        values, highest = np.where(values > 0, np.uint8(WHITE), np.uint8(0)), WHITE
    if highest > WHITE and lowest >= 0 and not (values.astype(np.int64) % _STRETCH).any():
        values, highest = values // _STRETCH, highest // _STRETCH
    if highest > WHITE or lowest < 0:
        raise FileFormatError(
            f"{name} holds the value {highest if highest > WHITE else lowest}; 0 to {WHITE} are "
            "possible.",
            remedy="Write the class integer in each pixel; numbers of objects are no classes.",
        )
    return values.astype(np.uint8)

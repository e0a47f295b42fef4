"""Label Studio's run lengths of a brush stroke, written and read without its SDK.

The format (of its editor, ``rle-pack``): 32 bits with the number of values, 5 bits with the size of
a value less one, four times 4 bits with sizes of a length less one; then blocks of one bit (a run,
or values one by one), two bits that choose the size of the length, the length less one, and the
value or values. The values are those of an RGBA image, so every pixel has four.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_CHANNELS = 4
_LONGEST_RUN = 1 << _LENGTH_BITS[-1]


class _Bits:
    """Bits of a list of bytes, the highest first."""

    def __init__(self, values: Sequence[int]) -> None:
        self._bits = "".join(f"{value:08b}" for value in values)
        self._at = 0

    def read(self, n: int) -> int:
        self._at += n
        return int(self._bits[self._at - n : self._at], 2)


def decode(rle: Sequence[int], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(height, width) bool: the pixels whose alpha is at least 128."""
    bits = _Bits(rle)
    n = bits.read(32)
    value_bits = bits.read(5) + 1
    length_bits = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(n, dtype=np.uint8)
    at = 0
    while at < n:
        is_run = bits.read(1)
        length = bits.read(length_bits[bits.read(2)]) + 1
        if is_run:
            values[at : at + length] = bits.read(value_bits)
        else:
            values[at : at + length] = [bits.read(value_bits) for _ in range(length)]
        at += length
    return values.reshape(*size_hw, _CHANNELS)[..., 3] >= 128


def encode(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The run lengths of a mask, 255 inside and 0 outside in all four channels."""
    flat = np.repeat(mask.ravel(), _CHANNELS)
    parts = [f"{len(flat):032b}", f"{_VALUE_BITS - 1:05b}", *(f"{n - 1:04b}" for n in _LENGTH_BITS)]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [len(flat)]])
    for start, end in itertools.pairwise(starts.tolist()):
        left = end - start
        while left:
            run = min(left, _LONGEST_RUN)
            size = next(i for i, n in enumerate(_LENGTH_BITS) if run <= 1 << n)
            length = f"{run - 1:0{_LENGTH_BITS[size]}b}"
            parts.append(f"1{size:02b}{length}{255 * int(flat[start]):08b}")
            left -= run
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]

"""Lengths in a DICOM file that promise what is not there: GDCM makes room before it reads.

1,200 bytes took 3 GB. A file that is cut short somewhat is left to GDCM, which tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

SLACK_BYTES = 64 * 2**20
"""A value may say that it is so much longer than what is left of the file."""

_UNDEFINED = 0xFFFFFFFF
_ITEM_GROUP, _ITEM = 0xFFFE, 0xE000
_META_GROUP, _SYNTAX = 0x0002, 0x0010
_PIXELS = (0x7FE0, 0x0010)
_IMPLICIT = b"1.2.840.10008.1.2"
_OTHER_ORDER = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
"""Big endian, and all of it packed: not looked into."""

_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_PREAMBLE, _MARK = 128, b"DICM"


def promises_too_much(data: bytes | mmap) -> bool:
    """Whether a value of the file says that it is far longer than the file.

    Args:
        data: The file; little of it is looked at.
    """
    return any(length > len(data) - at + slack for at, length, slack in _values(data))


def _values(data: bytes | mmap) -> Iterator[tuple[int, int, int]]:
    """Where values begin, how long they say they are, and by how much they may lie.

    As far as the file can be followed.
    """
    has_mark = data[_PREAMBLE : _PREAMBLE + 4] == _MARK
    at = _PREAMBLE + len(_MARK) if has_mark else 0
    is_implicit = is_in_pixels = False
    while at + 8 <= len(data):
        group, element = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (0, 2))
        kind = data[at + 4 : at + 6]
        is_implicit_here = is_implicit and group != _META_GROUP
        has_kind = group not in (0, _ITEM_GROUP) and not is_implicit_here
        if has_kind and kind in _LONG:
            start, length = at + 12, int.from_bytes(data[at + 8 : at + 12], "little")
        elif has_kind and kind in _SHORT:
            start, length = at + 8, int.from_bytes(data[at + 6 : at + 8], "little")
        else:
            start, length = at + 8, int.from_bytes(data[at + 4 : at + 8], "little")
        # A kind that there is none of, a group that no file has: how GDCM reads on nobody knows.
        is_odd = has_mark and (group == 0 or (has_kind and kind not in _LONG | _SHORT))
        is_inside = kind == b"SQ" or (group, element) == (_ITEM_GROUP, _ITEM)
        if length != _UNDEFINED:
            yield start, length, 0 if is_odd else SLACK_BYTES
        elif has_kind and kind == b"UN":
            return  # what is in it is written otherwise
        if (group, element) == (_META_GROUP, _SYNTAX):
            syntax = data[start : start + length].rstrip(b"\0 ")
            is_implicit = syntax == _IMPLICIT
            if syntax in _OTHER_ORDER:
                return
        is_in_pixels = is_in_pixels or (group, element) == _PIXELS
        # Sequences and their items are gone through; pieces of pixels are not.
        is_passed = length != _UNDEFINED and (is_in_pixels or not is_inside)
        at = start + length if is_passed else start

"""COCO's run-length encoding <-> masks.

Runs go down the columns and start with background. The compressed string holds the runs as
differences to the run before the last in 5-bit groups (pycocotools, common/maskApi.c). Written
here because foreign files are read by it: pycocotools' C code trusts its input.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.geometry import MAX_PIXELS

_LISTED = re.compile(r"\s*\[?\s*\d{1,9}(?:[\s,]+\d{1,9})*\s*\]?\s*", re.ASCII)
"""Runs as a list that came through a table. No compressed text has spaces or commas."""


def encode_rle(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """(height, width) bool -> COCO's compressed RLE: ``{"size": [h, w], "counts": str}``."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat.size and flat[0]:
        runs.insert(0, 0)
    text = bytearray()
    for i, run in enumerate(runs):
        number = run - runs[i - 2] if i > 2 else run
        while True:
            group = number & 0x1F
            number >>= 5
            is_last = number == (-1 if group & 0x10 else 0)
            text.append((group if is_last else group | 0x20) + 48)
            if is_last:
                break
    return {"size": [int(n) for n in mask.shape], "counts": text.decode("ascii")}


def decode_rle(rle: Any, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """COCO's RLE, compressed or as a list of runs, -> (height, width) bool.

    Args:
        rle: What the file holds.
        size_hw: The image's size; the RLE must have it too.

    Raises:
        ValueError: It is no RLE of this size; the message says why.
    """
    height, width = size_hw
    size = rle.get("size") if isinstance(rle, dict) else None
    if size != [height, width]:
        raise ValueError(f"has an RLE of the size {size!r}, and the image {[height, width]}")
    if height * width > MAX_PIXELS:
        raise ValueError(f"has an RLE of more than {MAX_PIXELS:,} pixels")
    counts = rle.get("counts")
    if isinstance(counts, str) and counts[:2] in ("b'", 'b"'):
        counts = _unquoted(counts)
    if isinstance(counts, str) and _is_listed(counts):
        counts = [int(n) for n in re.findall(r"\d+", counts)]
    if isinstance(counts, str):
        runs = _runs_of(counts, limit=height * width)
    elif isinstance(counts, list) and all(map(_is_whole, counts)):
        runs = [int(n) for n in counts]
    else:
        raise ValueError("has an RLE without counts")
    if any(n < 0 or n > height * width for n in runs) or sum(runs) != height * width:
        raise ValueError(f"has an RLE whose runs do not add up to {height * width:,} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _is_whole(value: object) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_listed(counts: str) -> bool:
    return any(char in counts for char in " ,[") and _LISTED.fullmatch(counts) is not None


def _unquoted(text: str) -> str:
    """What Python's ``str(b"...")`` made of compressed counts; "'" occurs in none of them."""
    try:
        return bytes(ast.literal_eval(text)).decode("ascii")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"has an RLE that starts with {text[:10]!r}, which no RLE does") from None


def polygons_to_rle(polygons: list[list[float]], size_hw: tuple[int, ...]) -> dict[str, Any]:
    """How pycocotools reads polygons (flat lists x, y, ... in pixels), in encode_rle's form."""
    # Imported here: only COCO exports need it.
    from pycocotools import mask as coco_mask

    height, width = size_hw
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return {"size": [height, width], "counts": merged["counts"].decode("ascii")}


def _runs_of(text: str, limit: int) -> list[int]:
    runs: list[int] = []
    number = shift = 0
    for char in text:
        value = ord(char) - 48
        if not 0 <= value < 64 or shift > 40:
            raise ValueError(f"has an RLE that holds {char!r}, which no RLE has there")
        number |= (value & 0x1F) << shift
        shift += 5
        if value & 0x20:
            continue
        if value & 0x10:
            number -= 1 << shift
        if len(runs) > 2:
            number += runs[-2]
        if not 0 <= number <= limit:
            raise ValueError("has an RLE with a run that leaves the image")
        runs.append(number)
        number = shift = 0
    if shift:
        raise ValueError("has an RLE that is cut short")
    return runs

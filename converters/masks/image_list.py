"""Which image and task each mask of an export is of: images.json beside the folder of masks.

Masks are called by their images, and names may be too few: for x.png beside x.jpg, for 1.png in two
folders, for two tasks of one image.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.text import is_file_name

IMAGES = "images.json"
"""A list of ``{"mask": "masks/x.png", "image": "x.jpg", "task_id": 7}``. Where a task has a mask in
each of several folders, ``*`` stands for these."""

_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MaskImage:
    """The image of a mask, by name or path; its task where several tasks have the image."""

    image: str
    task_id: int | None


def images_of_masks(folder: Path) -> dict[str, MaskImage]:
    """By file name of the mask, which may lie in a folder of ``folder``; empty without the file."""
    path = folder.parent / IMAGES
    try:
        value = json.loads(path.read_bytes()) if path.stat().st_size <= _MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    rows = [row for row in value if _is_row(row)] if isinstance(value, list) else []
    n_tasks = Counter(row["image"] for row in rows)
    found = {}
    for row in rows:
        top, _, name = row["mask"].rpartition("/")
        if not is_file_name(name):
            continue
        is_there = (folder / name).is_file() or any(folder.glob(f"*/{glob.escape(name)}"))
        if top in (folder.name, f"{folder.name}/*") and is_there:
            task_id = row["task_id"] if n_tasks[row["image"]] > 1 else None
            found[name] = MaskImage(row["image"], task_id)
    return found


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(key), str) and row[key] for key in ("mask", "image"))
        and type(row.get("task_id")) is int
    )

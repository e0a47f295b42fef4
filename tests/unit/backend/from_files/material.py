"""Exports of Label Studio and folders of masks, small enough to draw by hand."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from backend.from_files.context import FilesContext
from backend.from_files.labels.reading import Reading, read_source
from backend.from_files.labels.sources import ExportSource, FileSource
from backend.from_files.request import settings_of

SIDE = 40


def region(label: str, *, at: int = 10, size: int = 20) -> dict[str, Any]:
    """A square, in pixels of an image of ``SIDE``."""
    low, high = 100 * at / SIDE, 100 * (at + size) / SIDE
    return {
        "id": f"{label}{at}{size}",
        "type": "polygonlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": SIDE,
        "original_height": SIDE,
        "value": {
            "points": [[low, low], [high, low], [high, high], [low, high]],
            "polygonlabels": [label],
        },
    }


def task(task_id: int, regions: Sequence[Mapping[str, Any]] | None, **more: Any) -> dict[str, Any]:
    """A row of an export; ``regions`` None = nobody has labelled it."""
    name = f"scan_{task_id}.png"
    annotations = (
        []
        if regions is None
        else [{"id": 1000 + task_id, "result": list(regions), "was_cancelled": False}]
    )
    row = {
        "id": task_id,
        "created_at": f"2026-01-01T00:{task_id % 60:02d}:00Z",
        "data": {"image": f"/data/upload/3/0a1b2c3d-{name}"},
        "annotations": annotations,
    }
    return row | more


def write_export(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The export, and an image for each row that has none yet."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for row in rows:
        path = images / str(row["data"]["image"]).rpartition("0a1b2c3d-")[2]
        if not path.exists():
            write_image(path, seed=int(row["id"]))
    path = folder / "export.json"
    path.write_text(json.dumps(list(rows)))
    return path


def write_image(path: Path, seed: int) -> None:
    """Grey noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)


@functools.cache
def _empty_store() -> bytes:
    """A store as migrations leave it: making one takes a second."""
    with tempfile.TemporaryDirectory() as folder:
        context = FilesContext.at(Path(folder))
        context.store.engine.dispose()
        return (context.settings.data_dir / "nnloop.db").read_bytes()


def read(out: Path, source: Path | FileSource, **settings: Any) -> tuple[FilesContext, Reading]:
    """Reads a source into a folder, as ``nnloop train`` does."""
    if not out.exists():
        (out / "data").mkdir(parents=True)
        (out / "data" / "nnloop.db").write_bytes(_empty_store())
    context = FilesContext.at(out)
    if isinstance(source, Path):
        source = ExportSource(source, source.parent / "images")
    given = settings_of(context, settings)
    return context, read_source(context, source, title="scans", settings=given)

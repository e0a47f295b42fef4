"""Label Studio's own export (JSON, JSON_MIN): the tasks of one server for another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from converters.addresses.pages import first_page
from converters.exports.file_source import ExportFile
from converters.exports.item import SourceTask
from converters.imports.source import (
    ImportedImage,
    ImportedShape,
    ImportFormat,
    ImportOptions,
    ImportSource,
    Said,
)
from converters.label_studio.region_types import LABELS_TYPE, REGION_TYPES
from domain.annotation import LeftOut
from domain.hashing import content_hash

NAME = "label-studio"

_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".avif")
_LABEL_KEYS = (LABELS_TYPE, *(kind.labels_key for kind in REGION_TYPES))


def read(path: Path, options: ImportOptions) -> ImportSource:
    """Its tasks in the file's order, one in memory at a time."""
    for entry in ExportFile(path):
        if isinstance(entry, LeftOut):
            yield entry
            continue
        yield _image(entry, options)


def _image(source: SourceTask, options: ImportOptions) -> ImportedImage | LeftOut:
    task = source.task
    key = _image_key(task.data, options.image_key)
    address = first_page(task.data.get(key)) if key else None
    if not isinstance(address, str) or not address:
        return LeftOut(task.id, "image_missing", f"Task {task.id} of the export names no image.")
    notes = []
    if source.n_drafts:
        notes.append(
            LeftOut(
                task.id,
                "draft",
                f"Task {task.id} of the export has {source.n_drafts} not submitted; drafts are not "
                "imported: submit them there, and export again.",
            )
        )
    if source.n_bare:
        notes.append(
            LeftOut(
                task.id,
                "prediction_ids",
                f"Of {source.n_bare} predictions of task {task.id} the export has nothing but the "
                "id, as Label Studio's page writes it; an export made by its API with "
                '{"serialization_options": {"predictions": {"only_id": false}}} has them.',
            )
        )
    data = {name: value for name, value in task.data.items() if name != key}
    said = Said(address, data, task.annotations, source.all_predictions)
    results = [a.result for a in said.annotations] + [p["result"] for p in said.predictions]
    names = dict.fromkeys(name for result in results for name in labels_in(result))
    return ImportedImage(
        number=task.id,
        # Ids are given anew, so the image is part of who it is.
        key=f"task {task.id} {address}",
        stamp=content_hash(
            [
                data,
                [[a.id, a.result, a.was_cancelled, a.ground_truth] for a in said.annotations],
                [[p["result"], p.get("model_version"), p.get("score")] for p in said.predictions],
                source.n_drafts,
                source.n_bare,
            ]
        ),
        file_name=address,
        size_hw=None,
        regions=tuple(ImportedShape(name, ()) for name in names),
        notes=tuple(notes),
        said=said,
    )


def labels_in(result: object) -> Iterator[str]:
    """The class names that entries of a result have."""
    for entry in result if isinstance(result, list) else ():
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, dict):
            continue
        for key in _LABEL_KEYS:
            found = value.get(key)
            if isinstance(found, list):
                yield from (name for name in found if isinstance(name, str))


def _image_key(data: Mapping[str, Any], wanted: str) -> str:
    """The field with the image: the one of this name, else the one that names a picture."""
    if isinstance(first_page(data.get(wanted)), str):
        return wanted
    for key, value in data.items():
        address = first_page(value)
        if isinstance(address, str) and (
            address.lower().partition("?")[0].endswith(_ENDINGS)
            or address.startswith(("/data/", "data:image/", "s3://", "gs://", "azure-blob://"))
        ):
            return key
    return ""


FORMAT = ImportFormat(
    NAME,
    "Label Studio's export, JSON or JSON_MIN.",
    read,
    is_file=True,
    is_taken_over=True,
)

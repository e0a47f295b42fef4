"""Imports images with their annotations into a project by Label Studio's API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.label_studio import PredictionRow
from backend.pipeline.context import AppContext
from converters.exports.item import left_out
from converters.imports.run import ImportJob
from converters.imports.source import ImportedImage
from converters.imports.tasks import size_of, to_result
from converters.predicted import as_predicted
from converters.report import FilesReport, make_report
from converters.results import validate_prediction
from converters.work_index import WorkIndex
from domain.annotation import LeftOut
from domain.case import content_hash
from domain.errors import ImageError, TaskError

BATCH_IMAGES = 20
BATCH_BYTES = 32 * 1024 * 1024
"""Images read and uploaded together; what a kill makes the next run look for."""

_UPLOADED = "uploaded"
_UPLOADING = "uploading"


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image that is converted and waits to be uploaded."""

    image: ImportedImage
    path: Path
    stamp: str
    result: list[dict[str, Any]]
    notes: list[LeftOut]

    @property
    def key(self) -> str:
        return self.image.key


def import_to_project(
    context: AppContext,
    project_id: int,
    job: ImportJob,
    *,
    on_image: Callable[[], None] = lambda: None,
) -> FilesReport:
    """Uploads images and stores their regions as annotations or predictions.

    A second run skips what is there and unchanged; changed regions replace those of the first run.
    What was imported is kept in the data folder (``imports/PROJECT/``), with the report beside it.
    Nothing in Label Studio is deleted but predictions that are replaced.

    Args:
        context: The process's context.
        project_id: Where to.
        job: What to import; ``job.config`` is the project's labelling configuration.
        on_image: Called after each image.

    Raises:
        FileFormatError: The source is not of the job's format.
        LabelStudioError: Label Studio refused or did not answer; a new run goes on from there.
    """
    folder = context.settings.data_dir / "imports" / str(project_id)
    name = hashlib.sha256(f"{job.path.resolve()} {job.as_} {job.model_version}".encode())
    stem = f"{job.path.stem[:40]}-{name.hexdigest()[:8]}"
    with WorkIndex(folder / f"{stem}.sqlite", folder, f"import {job.format_.name}") as index:
        run = _Run(context, project_id, job, index)
        for batch in _batches(run.convert(on_image)):
            run.upload(batch)
        report = folder / f"{stem}.report.json"
        return make_report(report, job.format_.name, index, run.unchanged, 0)


def _batches(items: Iterator[_Ready]) -> Iterator[list[_Ready]]:
    batch: list[_Ready] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.path.stat().st_size
        if len(batch) == BATCH_IMAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Run:
    """One import under way."""

    def __init__(
        self, context: AppContext, project_id: int, job: ImportJob, index: WorkIndex
    ) -> None:
        self._client, self._project_id = context.label_studio, project_id
        self._job, self._index = job, index
        self.unchanged = 0

    def convert(self, on_image: Callable[[], None]) -> Iterator[_Ready]:
        """The images of the source that can be used."""
        for number, entry in enumerate(self._job.entries(), start=1):
            if isinstance(entry, LeftOut):
                self._index.left_out(f"row {number}", entry)
            elif self._index.is_seen(entry.key):
                message = f"The image {entry.file_name!r} comes more than once."
                note = LeftOut(entry.number, "duplicate_image", message)
                self._index.left_out(f"row {number}", note)
            else:
                try:
                    yield self._ready(entry)
                except TaskError as error:
                    self._leave_out(entry.key, left_out(error))
            on_image()

    def _ready(self, image: ImportedImage) -> _Ready:
        path = self._job.images.find(image)
        if path is None:
            raise ImageError(
                image.number,
                "image_missing",
                f"the image {image.file_name!r} was not found.",
                remedy="Give the folder of images with --images (and --image-prefix).",
            )
        size_hw = size_of(image, path)
        result, notes = to_result(image, self._job.config, size_hw, self._job.how)
        if self._job.as_ == "predictions":
            result = as_predicted(result)
            for fault in validate_prediction(self._job.config, result):
                raise ImageError(image.number, "invalid_result", f"Label Studio objects: {fault}")
        return _Ready(image, path, self._job.stamp_of(image, path), result, notes)

    def upload(self, batch: list[_Ready]) -> None:
        """Brings Label Studio to what a batch says."""
        task_ids = self._known_tasks(batch)
        new = [item for item in batch if item.key not in task_ids]
        for item in new:
            self._keep(item, {"state": _UPLOADING})
        files = [(item.path.name, item.path.read_bytes()) for item in new]
        for item, task_id in zip(
            new, self._client.import_images(self._project_id, files), strict=True
        ):
            task_ids[item.key] = task_id
            self._keep(item, {"state": _UPLOADED, "task": task_id})
        changed = []
        for item in batch:
            if self._index.is_current(item.key, item.stamp):
                self.unchanged += 1
            else:
                changed.append(item)
        if self._job.as_ == "predictions":
            self._predict(changed, task_ids)
        else:
            self._annotate(changed, task_ids)

    def _known_tasks(self, batch: list[_Ready]) -> dict[str, int]:
        """Tasks of earlier runs that still exist, by image; those a killed run lost among them."""
        records = {item.key: self._index.record(item.key) or {} for item in batch}
        ids = {key: int(r["task"]) for key, r in records.items() if "task" in r}
        alive = self._client.existing_tasks(self._project_id, list(ids.values()))
        known = {key: task_id for key, task_id in ids.items() if task_id in alive}
        for key in ids.keys() - known.keys():
            self._index.forget(key)
        lost = [item for item in batch if records[item.key].get("state") == _UPLOADING]
        if lost:
            taken = {int(r["task"]) for r in self._index.records() if "task" in r}
            uploads = self._client.uploaded_tasks(self._project_id, [i.path.name for i in lost])
            for item in lost:
                free = [t for t in uploads.get(item.path.name, []) if t not in taken]
                if free:
                    known[item.key] = free[0]
                    taken.add(free[0])
                    self._keep(item, {"state": _UPLOADED, "task": free[0]})
        return known

    def _annotate(self, items: list[_Ready], task_ids: dict[str, int]) -> None:
        for item in items:
            task_id, digest = task_ids[item.key], _digest(item.result)
            record = self._index.record(item.key) or {}
            held = {a.id: _digest(a.result) for a in self._client.task(task_id).annotations}
            annotation_id = record.get("annotation")
            if digest in held.values():
                # A killed run had got as far as this, but not as far as keeping it.
                annotation_id = next(i for i, found in held.items() if found == digest)
            elif annotation_id not in held:
                annotation_id = self._client.annotate(task_id, item.result)
            elif held[annotation_id] == record.get("digest"):
                self._client.update_annotation(annotation_id, item.result)
            else:
                message = (
                    f"The annotation of {item.image.file_name!r} was edited in Label Studio since "
                    "it was imported; it stays as it is."
                )
                item.notes.append(LeftOut(item.image.number, "edited", message))
                digest = record.get("digest", "")
            self._done(item, {"task": task_id, "annotation": annotation_id, "digest": digest})

    def _predict(self, items: list[_Ready], task_ids: dict[str, int]) -> None:
        rows = []
        for item in items:
            task_id = task_ids[item.key]
            for old in self._client.task_predictions(task_id, self._job.model_version):
                self._client.delete_prediction(int(old.id or 0))
            rows.append(PredictionRow(task_id, item.result, None, self._job.model_version))
        if rows:
            self._client.import_predictions(self._project_id, rows)
        for item in items:
            task_id = task_ids[item.key]
            if self._client.task_predictions(task_id, self._job.model_version):
                self._done(item, {"task": task_id})
            else:
                message = f"Label Studio did not keep the prediction of {item.image.file_name!r}."
                note = LeftOut(item.image.number, "prediction_dropped", message)
                self._leave_out(item.key, note)

    def _done(self, item: _Ready, record: dict[str, Any]) -> None:
        self._index.done(item.key, item.stamp, (), record, item.notes)

    def _keep(self, item: _Ready, record: dict[str, Any]) -> None:
        """Keeps how far an image has got; no stamp, so that the next run goes on with it."""
        self._index.done(item.key, "", (), record, ())

    def _leave_out(self, key: str, note: LeftOut) -> None:
        self._index.left_out(key, note)


def _digest(result: list[dict[str, Any]]) -> str:
    return content_hash([[entry.get("id"), entry.get("value")] for entry in result])

"""Runs an import into a file: Label Studio tasks with annotations or predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converters.exports.exporter import Records
from converters.exports.item import left_out
from converters.files import write_bytes
from converters.imports.source import ImportedImage, ImportFormat, ImportOptions
from converters.imports.tasks import As, ImageFinder, size_of, to_result
from converters.report import FilesReport, make_report
from converters.simplify import Simplification
from converters.work_index import WorkIndex
from domain.annotation import LeftOut
from domain.case import content_hash
from domain.errors import StackError, TaskError
from domain.labels import LabelConfig

DEFAULT_VERSION = "imported"


@dataclass(frozen=True, slots=True)
class ImportJob:
    """What to import and how.

    ``label_config`` gives the classes; ``model_version`` names predictions; ``image_url`` is put
    before the file name in a task's data (``/data/local-files/?d=scans/``).
    """

    format_: ImportFormat
    path: Path
    options: ImportOptions
    config: LabelConfig
    images: ImageFinder
    as_: As = "annotations"
    model_version: str = DEFAULT_VERSION
    image_url: str = ""
    how: Simplification = field(default_factory=Simplification)

    def stamp_of(self, image: ImportedImage, path: Path | None) -> str:
        """Changes when the image's annotations, its file or the job do."""
        about = path.stat() if path is not None else None
        return content_hash(
            [
                image.stamp,
                self.config.xml,
                self.as_,
                self.model_version,
                self.image_url,
                repr(self.how),
                self.options.classes,
                self.options.class_key,
                self.options.default_class,
                [str(path), about.st_size, about.st_mtime_ns] if about else "",
            ]
        )

    def entries(self) -> Iterator[ImportedImage | LeftOut]:
        """The images of the source."""
        return self.format_.read(self.path, self.options)


def run_import_to_file(
    job: ImportJob, out: Path, *, on_image: Callable[[], None] = lambda: None
) -> FilesReport:
    """Writes a tasks file that Label Studio imports; holds one image in memory.

    Beside ``out`` lie the report (``NAME.report.json``) and a hidden index, by which a second run
    converts only what is new or changed.

    Raises:
        FileFormatError: The source is not of the job's format.
        StackError: The file can't be written.
    """
    try:
        index_path = out.with_name(f".{out.name}.nnloop-index.sqlite")
        with WorkIndex(index_path, out.parent, f"import {job.format_.name}") as index:
            unchanged = 0
            for number, entry in enumerate(job.entries(), start=1):
                unchanged += _add(job, index, number, entry)
                on_image()
            removed = index.forget_unseen()
            write_bytes(out, _tasks(index.records))
            report = out.with_name(f"{out.stem}.report.json")
            return make_report(report, job.format_.name, index, unchanged, removed)
    except OSError as error:
        raise StackError(
            f"{error.filename or out} can't be written: {error.strerror}.",
            remedy="Check the folder's rights and the free space.",
        ) from error


def _add(job: ImportJob, index: WorkIndex, number: int, entry: ImportedImage | LeftOut) -> int:
    """Converts one image; returns 1 when it was there already, unchanged."""
    if isinstance(entry, LeftOut):
        index.left_out(f"row {number}", entry)
        return 0
    if index.is_seen(entry.key):
        message = f"The image {entry.file_name!r} comes more than once."
        index.left_out(f"row {number}", LeftOut(entry.number, "duplicate_image", message))
        return 0
    path = job.images.find(entry)
    stamp = job.stamp_of(entry, path)
    if index.is_current(entry.key, stamp):
        return 1
    try:
        result, notes = to_result(entry, job.config, size_of(entry, path), job.how)
    except TaskError as error:
        index.left_out(entry.key, left_out(error))
        return 0
    name = path.name if path is not None else entry.file_name
    index.done(entry.key, stamp, (), _task(job, name, result), notes)
    return 0


def _task(job: ImportJob, name: str, result: list[dict[str, Any]]) -> dict[str, Any]:
    said: dict[str, Any] = {"result": result}
    if job.as_ == "predictions":
        said["model_version"] = job.model_version
    return {"data": {job.config.image_key: job.image_url + name}, job.as_: [said]}


def _tasks(records: Records) -> Iterator[bytes]:
    separator = "[\n"
    for record in records():
        yield (separator + json.dumps(record, ensure_ascii=False)).encode()
        separator = ",\n"
    yield b"[]\n" if separator == "[\n" else b"\n]\n"

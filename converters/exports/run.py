"""Runs an export: every task through a format, into a folder, with a report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeGuard

from converters.addresses.pages import other_page
from converters.bookkeeping.files_report import FilesReport, Outcome, make_report
from converters.bookkeeping.work_index import WorkIndex
from converters.exports.exporter import Exporter, Format, Needs
from converters.exports.item import ExportItem, SourceTask, left_out, submitted
from converters.exports.options import ExportOptions
from converters.images.of_tasks import TaskImages, file_stem, image_name
from converters.images.pixel_spacing import SPACING_KEY
from converters.label_studio.regions.read_settings import DRAWING_RULES
from converters.label_studio.regions.value import number_of_text
from converters.label_studio.sparse import sparse_reading
from converters.painting import order
from converters.painting.combining import rule_of
from domain.annotation import LeftOut, Task
from domain.errors import AnnotationError, ImageError, StackError, TaskError
from domain.geometry import MAX_PIXELS
from domain.hashing import content_hash
from domain.labels import LabelConfig

INDEX = ".nnloop-index.sqlite"
REPORT = "report.json"
_MOST_STRANGERS = 5
"""Files of others that are named."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What to export and how.

    Attributes:
        format_: A row of ``formats.FORMATS``.
        config: The labelling configuration.
        options: What the person chose.
        images: Where pixels come from.
        remarks: Sentences for the report about the whole.
    """

    format_: Format
    config: LabelConfig
    options: ExportOptions
    images: TaskImages
    remarks: tuple[str, ...] = field(default=())


Source = Iterable[SourceTask | LeftOut]
"""Tasks one by one; a row that can't be read is a LeftOut in its place."""

FaultOf = Callable[[int, Exception], LeftOut]
"""What went wrong with the task of an id, as an entry of the report; raises what no task is to
blame for."""


def known_fault(task_id: int, error: Exception) -> LeftOut:
    """The entry of a TaskError; any other error is raised."""
    if not isinstance(error, TaskError):
        raise error
    return left_out(error)


def run_export(
    source: Source,
    job: ExportJob,
    out: Path,
    *,
    on_task: Callable[[], None] = lambda: None,
    fault_of: FaultOf = known_fault,
) -> FilesReport:
    """Exports tasks one by one; holds one task in memory whatever their number.

    A task that is there already and unchanged is skipped; one that has left the source goes. A
    task that can't be used is left out and reported. Stopped half-way, the folder holds whole files
    only, and the next run goes on.

    Args:
        source: The tasks.
        job: What to make of them.
        out: The folder; made if missing.
        on_task: Called after each task.
        fault_of: Says what an error with one task is, so that the others go on.

    Raises:
        FileFormatError: The source is no export, or the folder holds another export.
        StackError: The folder can't be written.
    """
    format_ = job.format_
    try:
        with WorkIndex(out / INDEX, out, f"export {format_.name}") as index:
            exporter = format_.open(out, job.config, job.options)
            removed, is_color = 0, _has_color(index, format_)
            while True:
                run = _Run(index, job, exporter, as_color=is_color)
                for entry in source:
                    try:
                        run.add(entry)
                    except Exception as error:
                        if isinstance(entry, LeftOut) or _is_of_folder(error, out):
                            raise
                        index.left_out(str(entry.task.id), fault_of(entry.task.id, error))
                    on_task()
                removed += index.forget_unseen()
                has_images = format_.needs is not Needs.PREDICTIONS
                for doubt in job.images.doubtful() if has_images else ():
                    index.left_out(str(doubt.task_id), left_out(doubt))
                if _has_color(index, format_) == is_color:
                    break
                # The first colour image came, or the last one went: of all tasks the files change.
                is_color, on_task = not is_color, _nothing
                index.begin_again()
            unchanged = min(run.unchanged, index.counts()[0])
            exporter.finish(index.records)
            remarks = (
                *job.remarks,
                *format_.remarks(job.config),
                *format_.remarks_of_all(index.records),
                *_strangers(index),
            )
            outcome = Outcome(unchanged, removed, remarks)
            return make_report(out / REPORT, format_.name, index, outcome)
    except OSError as error:
        raise StackError(
            f"{error.filename or out} can't be written: {error.strerror}.",
            remedy="Check the folder's rights and the free space.",
        ) from error


def _nothing() -> None:
    """Tasks are counted once."""


def _has_color(index: WorkIndex, format_: Format) -> bool:
    """Whether an image that was written makes all others colour."""
    return format_.follows_color and any(record["is_color"] for record in index.records())


def _strangers(index: WorkIndex) -> tuple[str, ...]:
    """Says that files lie among those of the export that are not its own."""
    found = index.strangers()
    names = ", ".join(itertools.islice(found, _MOST_STRANGERS))
    if not names:
        return ()
    n_more = sum(1 for _ in found)
    more = f" and {n_more} more" if n_more else ""
    return (
        f"In the folder lie files that are not of this export, and were left alone: {names}{more}. "
        "Whoever reads the folder takes them for part of it: delete them, or choose another one.",
    )


class _Run:
    """One export under way."""

    def __init__(
        self, index: WorkIndex, job: ExportJob, exporter: Exporter, *, as_color: bool
    ) -> None:
        self.unchanged = 0
        self._exporter, self._as_color = exporter, as_color
        self._index, self._format, self._config = index, job.format_, job.config
        self._options, self._images = job.options, job.images
        self._n_bad_rows = 0
        self._choices = [
            job.format_.name,
            job.format_.version,
            order.RULE,
            DRAWING_RULES,
            job.options.to_json(),
            job.config.xml,
            job.config.image_keys,
            [c.former_values for c in job.config.group.classes],
            job.config.group.dropped_values,
            *(["as colour"] if as_color else []),
            *([rule_of("staple")] if job.options.annotators == "staple" else []),
            *sparse_reading(job.config.group),
        ]

    def add(self, entry: SourceTask | LeftOut) -> None:
        if isinstance(entry, LeftOut):
            self._n_bad_rows += 1
            self._index.left_out(f"row {self._n_bad_rows}", entry)
            return
        task = entry.task
        key = str(task.id)
        self._images.stamp(task)  # also of a task that is not written: its file is no other's
        if self._index.is_seen(key):
            note = LeftOut(task.id, "duplicate_task", f"Task {task.id} comes more than once.")
            self._n_bad_rows += 1
            self._index.left_out(f"row {self._n_bad_rows}", note)
            return
        why_not = self._why_not(entry)
        if why_not is not None:
            self._index.left_out(key, why_not)
            return
        missing = self._missing(task)
        stamp = self._stamp(entry, missing)
        if self._index.is_current(key, stamp):
            self.unchanged += 1
            return
        item = self._item(entry, missing)
        written = self._exporter.write(item)
        if written.files and self._format.is_named_by_image:
            item.notes += self._renamed(item)
        self._index.done(key, stamp, written.files, written.record, item.notes)

    def _renamed(self, item: ExportItem) -> list[LeftOut]:
        """Says that the files have another name than the image, because another task has it."""
        other = self._index.holder_of(file_stem(item.image_name)) if item.image_name else None
        if other is None or other == str(item.task.id):
            return []
        message = (
            f"Task {item.task.id}: its image {item.image_name!r} is called like that of task "
            f"{other} (folder, ending and case aside), so its files are called {item.stem!r}."
        )
        return [LeftOut(item.task.id, "renamed_files", message)]

    def _missing(self, task: Task) -> ImageError | None:
        """Why the image is not there, though somebody said where images are."""
        return None if self._format.needs is Needs.PREDICTIONS else self._images.missing(task)

    def _why_not(self, entry: SourceTask) -> LeftOut | None:
        task = entry.task
        if self._format.needs is Needs.PREDICTIONS:
            if entry.predictions:
                return None
            return LeftOut(task.id, "no_prediction", f"Task {task.id} has no prediction.")
        if submitted(task):
            return None
        if self._format.takes_predictions and entry.predictions and not task.annotations:
            return None
        if task.annotations:
            return LeftOut(task.id, "skipped", f"Task {task.id} was skipped by its annotator.")
        return LeftOut(task.id, "unlabelled", f"Task {task.id} is not labelled yet.")

    def _stamp(self, entry: SourceTask, missing: ImageError | None) -> str:
        task = entry.task
        annotations = [(a.id, a.updated_at, a.ground_truth, a.result) for a in submitted(task)]
        values = [task.data.get(key) for key in self._config.image_keys]
        values += [task.data[SPACING_KEY]] if SPACING_KEY in task.data else []
        image = self._images.stamp(task) or str(missing)
        predicted = [list(entry.predictions), list(entry.predicted)]
        return content_hash([self._choices, annotations, predicted, values, image])

    def _item(self, entry: SourceTask, missing: ImageError | None) -> ExportItem:
        task, needs = entry.task, self._format.needs
        name = image_name(task, self._config.image_key)
        plain = f"task_{task.id:08d}"
        stem = self._index.name_for(str(task.id), file_stem(name) or plain, plain)
        has_image = needs is Needs.PIXELS or (
            needs is Needs.PIXELS_IF_THERE and self._images.stamp(task) != ""
        )
        read = partial(self._images.read, task) if has_image else None
        spacing = partial(self._images.spacing_mm, task) if self._images.stamp(task) else _unknown
        item = ExportItem(entry, self._config, self._options, stem, read, spacing)
        item.as_color = self._as_color
        if needs is not Needs.PREDICTIONS:
            item.size_hw = self._size_hw(item, missing)
        return item

    def _size_hw(self, item: ExportItem, missing: ImageError | None) -> tuple[int, int]:
        """From the image, or from what the regions say about it, which is noted."""
        if item.image is not None:
            return int(item.image.shape[0]), int(item.image.shape[1])
        found = self._images.size_hw(item.task)
        if found is not None:
            return found
        drawn = _drawn_size_hw(item.task)
        if drawn is not None:
            if missing is not None:
                item.notes.append(_without_image(missing, drawn, self._format.needs))
            return drawn
        if self._images.stamp(item.task):
            image = self._images.read(item.task, self._config.image_key)
            return int(image.shape[0]), int(image.shape[1])
        raise _size_unknown(item.task, missing)


def _unknown() -> None:
    """The size of a pixel of an image that is not there."""


def _is_of_folder(error: Exception, out: Path) -> bool:
    """Whether a file of the export can't be written, as opposed to an image that can't be read."""
    names = (error.filename, error.filename2) if isinstance(error, OSError) else ()
    return any(isinstance(name, str | Path) and Path(name).is_relative_to(out) for name in names)


def _without_image(missing: ImageError, drawn_hw: tuple[int, int], needs: Needs) -> LeftOut:
    """What is written of a task whose image is not there, for the report."""
    size = f"{drawn_hw[1]} x {drawn_hw[0]}"
    what = (
        f"Its labels are written without it, for the {size} pixels that its regions name."
        if needs is Needs.PIXELS_IF_THERE
        else f"Its size is not checked: its regions name {size} pixels."
    )
    return LeftOut(missing.task_id, missing.reason, f"{missing.in_full} {what}")


def _size_unknown(task: Task, missing: ImageError | None) -> ImageError:
    sizes = ", ".join(f"{w} x {h}" for h, w in sorted(_drawn_sizes(task))[:4])
    what = (
        f"its regions name images of several sizes ({sizes})"
        if sizes
        else "no region says how large the image is"
    )
    if missing is None:
        return ImageError(
            task.id,
            "size_unknown",
            f"{what}, and the image is not there.",
            remedy="Give the folder of images with --images.",
        )
    why = str(missing).removeprefix(f"Task {task.id}: ").rstrip(".")
    return ImageError(task.id, missing.reason, f"{why}, and {what}.", remedy=missing.remedy)


def _drawn_size_hw(task: Task) -> tuple[int, int] | None:
    """(height, width) that all regions agree on; None when none says, or they differ."""
    sizes = _drawn_sizes(task)
    if len(sizes) != 1:
        return None
    height, width = sizes.pop()
    if height * width > MAX_PIXELS:
        raise AnnotationError(
            task.id,
            "too_large",
            f"its regions name an image of {width:,} x {height:,} pixels; the limit is "
            f"{MAX_PIXELS:,} pixels.",
            remedy="Correct original_width and original_height.",
        )
    return height, width


def _drawn_sizes(task: Task) -> set[tuple[int, int]]:
    """What regions say; those of other pages, which may have other sizes, where no others do."""
    regions = [region for annotation in submitted(task) for region in annotation.result]
    first = [r for r in regions if not (isinstance(r, dict) and other_page(r, ""))]
    sizes = {size for size in map(_size_of, first) if size is not None}
    return sizes or {size for size in map(_size_of, regions) if size is not None}


def _size_of(region: object) -> tuple[int, int] | None:
    if not isinstance(region, dict):
        return None
    height, width = map(number_of_text, map(region.get, ("original_height", "original_width")))
    return (int(height), int(width)) if _is_side(height) and _is_side(width) else None


def _is_side(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and type(value) is not bool and 1 <= value < 1e9

"""Runs an import into a file: Label Studio tasks with annotations or predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from converters.addresses.upload_names import same_name_key
from converters.bookkeeping.files import json_list, write_bytes
from converters.bookkeeping.files_report import FilesReport, Outcome, make_report
from converters.bookkeeping.work_index import WorkIndex
from converters.classes.matching import MatchedClasses, match_classes
from converters.exports.exporter import Records
from converters.imports.addresses import image_address, is_shown
from converters.imports.defaults import DEFAULT_VERSION
from converters.imports.find import ImageFinder
from converters.imports.scores import NOT_KNOWN, Score, ScoreTable, no_score
from converters.imports.source import ImportedImage, ImportFormat, ImportOptions
from converters.imports.tasks import As, left_out_image, left_out_repeat, said_of, size_of
from converters.outlines.limits import Simplification
from domain.annotation import LeftOut
from domain.errors import ImageError, SettingsError, StackError, TaskError
from domain.hashing import content_hash
from domain.labels import LabelConfig
from domain.text import counted


@dataclass(frozen=True, slots=True)
class ImportJob:
    """What to import and how.

    ``label_config`` gives the classes; ``model_version`` names predictions; ``image_url`` is put
    before the file name in a task's data (``/data/local-files/?d=scans/``); ``mapping`` says which
    label their classes are; ``empty_as_negative`` whether images that the source says are empty get
    an empty annotation; ``scores`` how good predictions are. ``found`` is what ``looked_through``
    adds.
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
    mapping: Mapping[str, str] = field(default_factory=dict)
    empty_as_negative: bool = False
    scores: ScoreTable | None = None
    found: Found | None = None

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
                sorted(self.mapping.items()),
                self.empty_as_negative,
                [str(path), about.st_size, about.st_mtime_ns] if about else "",
                *([self.score_of(image, path)] if self.as_ == "predictions" else []),
            ]
        )

    def score_of(self, image: ImportedImage, path: Path | None) -> Score:
        """How good the image's prediction is."""
        repeated = self.found.repeated if self.found is not None else ()
        found = self.scores.of(image, path, repeated) if self.scores is not None else None
        return NOT_KNOWN if found is None else Score(found, is_stated=True)

    @property
    def is_of_label_studio(self) -> bool:
        """Whether what is imported is taken over as it stands."""
        return self.format_.is_taken_over

    def lacks_score(self, image: ImportedImage, path: Path | None) -> bool:
        """Whether a table of scores was given, and has none for the image."""
        return self.scores is not None and not self.score_of(image, path).is_stated

    def entries(self) -> Iterator[ImportedImage | LeftOut]:
        """The images of the source."""
        return self.format_.entries(self.path, self.options)

    def find(self, image: ImportedImage) -> Path | None:
        """The image's file, None where it was not found.

        Raises:
            ImageError: ``ambiguous_image``: another image of the source has the same file, or
                several files may be the image.
        """
        path = self.images.find(image)
        rivals = self.images.rivals(image, path) if path is not None else []
        if path is not None and rivals:
            raise ImageError(
                image.number,
                "ambiguous_image",
                f"{image.file_name!r} may belong to {path.name} or {', '.join(rivals)}.",
                remedy="Leave the one beside it that is meant.",
            )
        if path is not None and self.found is not None and path in self.found.shared:
            raise ImageError(
                image.number,
                "ambiguous_image",
                f"{image.file_name!r} and another image of the source are both the file {path}.",
                remedy="Give each its own file, or name the masks that count with --mask-name.",
            )
        return path

    def said_of(
        self, image: ImportedImage, size_hw: tuple[int, int]
    ) -> tuple[list[dict[str, Any]], list[LeftOut]]:
        """Label Studio's regions of an image, and what was left out; raises as ``tasks.said_of``.

        Args:
            image: What the source says.
            size_hw: (height, width) in pixels.
        """
        classes = self.found.classes if self.found is not None else MatchedClasses({})
        return said_of(
            image,
            self.config,
            size_hw,
            self.how,
            classes,
            empty_as_negative=self.empty_as_negative,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What one reading of the whole source tells before anything is written.

    ``classes`` says which label each of its classes is; ``shared`` are image files that several of
    its images would have, ``repeated`` the names (``same_name_key``) that several of them have.
    """

    classes: MatchedClasses
    shared: frozenset[Path]
    repeated: frozenset[str]


def keys_of(image: ImportedImage) -> set[str]:
    """Keys (``same_name_key``) of the names its image may have, with ending or without."""
    return {same_name_key(name) for name in (image.file_name, *image.stems)}


def looked_through(job: ImportJob, *, on_image: Callable[[], None] = lambda: None) -> ImportJob:
    """The job with ``found``; nothing is written. ``on_image`` is called after each image.

    Raises:
        FileFormatError: The source is not of the job's format.
        SettingsError: It uses a class that is no label of the configuration.
    """
    if job.found is not None:
        return job
    used: dict[str, None] = {}
    known: dict[str, None] = dict.fromkeys(job.options.classes)
    owners: dict[Path, str] = {}
    shared: set[Path] = set()
    names: set[str] = set()
    repeated: set[str] = set()
    for entry in job.entries():
        on_image()
        if isinstance(entry, LeftOut):
            continue
        used.update(dict.fromkeys(entry.used_names))
        known.update(dict.fromkeys(entry.class_names))
        path = job.images.find(entry)
        # Of a Label Studio several tasks may show one image.
        is_own = entry.task_id is None and entry.said is None
        owner = entry.key if is_own else entry.file_name
        if path is not None and owners.setdefault(path, owner) != owner:
            shared.add(path)
        own = keys_of(entry)
        repeated |= own & names
        names |= own
    # Colours that are background are no class that occurs.
    known.update(dict.fromkeys(c for c, name in job.options.colors.items() if not name))
    classes = match_classes(tuple(used), job.config.group, job.mapping, tuple(known))
    return replace(job, found=Found(classes, frozenset(shared), frozenset(repeated)))


def run_import_to_file(
    job: ImportJob, out: Path, *, on_image: Callable[[], None] = lambda: None
) -> FilesReport:
    """Writes a tasks file that Label Studio imports; holds one image in memory.

    Beside ``out`` lie the report (``NAME.report.json``) and a hidden index, by which a second run
    converts only what is new or changed.

    Raises:
        FileFormatError: The source is not of the job's format.
        SettingsError: It uses a class that is no label of the configuration; or there is a file of
            that name which no import has written, as the source itself.
        StackError: The file can't be written.
    """
    index_path = out.with_name(f".{out.name}.nnloop-index.sqlite")
    if out.exists() and not index_path.exists():
        raise SettingsError(
            f"There is a file {out} that nnloop import has not written.",
            remedy="Nothing is written over it: give --out another name.",
        )
    job = looked_through(job)
    remarks = job.found.classes.remarks if job.found is not None else ()
    try:
        with WorkIndex(index_path, out.parent, f"import {job.format_.name}") as index:
            unchanged = 0
            for number, entry in enumerate(job.entries(), start=1):
                unchanged += _add(job, index, number, entry)
                on_image()
            removed = index.forget_unseen()
            write_bytes(out, json_list(index.records()))
            remarks += _about_addresses(index.records, job.config.image_key)
            report = out.with_name(f"{out.stem}.report.json")
            outcome = Outcome(unchanged, removed, remarks)
            return make_report(report, job.format_.name, index, outcome)
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
        index.left_out(f"row {number}", left_out_repeat(entry))
        return 0
    try:
        path = job.find(entry)
        if path is None and entry.stems and job.images.has_folder:
            raise ImageError(
                entry.number,
                "image_missing",
                f"no image of {entry.file_name!r} was found.",
                remedy="Correct --images, or say with --mask-name how masks are called.",
            )
        stamp = job.stamp_of(entry, path)
        if index.is_current(entry.key, stamp):
            return 1
        result, notes = job.said_of(entry, size_of(entry, path))
        if job.lacks_score(entry, path):
            notes = [*notes, no_score(entry, job.scores)]
    except TaskError as error:
        index.left_out(entry.key, left_out_image(error))
        return 0
    name = job.images.name_of(entry, path)
    index.done(entry.key, stamp, (), _task(job, name, result, job.score_of(entry, path)), notes)
    return 0


def _task(job: ImportJob, name: str, result: list[dict[str, Any]], score: Score) -> dict[str, Any]:
    said: dict[str, Any] = {"result": result}
    if job.as_ == "predictions":
        said |= {"model_version": job.model_version, "score": score.value}
    return {"data": {job.config.image_key: image_address(job.image_url, name)}, job.as_: [said]}


def _about_addresses(records: Records, image_key: str) -> tuple[str, ...]:
    """A warning where addresses are file names: Label Studio imports such tasks, and shows none."""
    n_bare, first = 0, ""
    for record in records():
        address = str(record["data"][image_key])
        if not is_shown(address):
            n_bare, first = n_bare + 1, first or address
    if not n_bare:
        return ()
    tasks = counted(n_bare, "task names", "tasks name")
    return (
        f"{tasks} a file, not an address ({first!r}): Label Studio can't show "
        f"{'it' if n_bare == 1 else 'them'}. Say with --image-url where the images are: "
        "/data/local-files/?d=FOLDER/, s3://BUCKET/ or https://HOST/.",
    )

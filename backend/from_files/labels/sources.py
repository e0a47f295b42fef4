"""What a person gave to train on: labelled images in files, as tasks of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from backend.from_files.labels.spool import Spool
from backend.label_studio.tasks import plain_name
from converters.addresses.image_address import identity_of
from converters.addresses.pages import first_page
from converters.bookkeeping.files import exact_stamp_of
from converters.bookkeeping.files_report import Reasons
from converters.exports.file_source import ExportFile
from converters.exports.item import SourceTask
from converters.images.image_folder import FolderOfImages
from converters.images.medical_pixels import MEDICAL_ENDINGS
from converters.imports.find import IMAGE_ENDINGS, ImageFinder
from converters.imports.run import ImportJob, looked_through
from converters.imports.source import ImportedImage, ImportFormat, ImportOptions
from converters.imports.tasks import (
    colors_of,
    infer_classes,
    label_config_for,
    left_out_image,
    left_out_repeat,
    size_of,
)
from converters.label_studio.config.inferred_config import infer_label_config
from converters.label_studio.config.sparse_labels import choice_controls
from converters.masks.channel_files import channel_files
from converters.outlines.limits import Simplification
from domain.annotation import Annotation, LeftOut, Task
from domain.errors import ImageError, TaskError
from domain.hashing import content_hash
from domain.labels import LabelConfig

UNNAMED = "class_"
"""How a class is called, before its integer, that nothing gives a name."""

IMAGE_KEY = "image"
"""The data field of the tasks that are made of other tools' files."""


@dataclass(frozen=True, slots=True)
class Found:
    """A task of the source, and the files of its images by their addresses.

    ``task`` is None where nothing of it has changed since it was read with ``stamp``.
    """

    task_id: int
    key: str
    stamp: str
    paths: Mapping[str, Path]
    task: Task | None = None


_EXACT = Simplification(tolerance_px=0, iou_target=1.0, iou_floor=1.0, vertex_budget=10**9)
"""Masks are drawn round along their pixels: nothing of them is lost."""

Entry = Found | LeftOut
"""A row that can't be used is a LeftOut in its place."""


class FileSource(Protocol):
    """Labelled images in files. May be read several times."""

    def label_config(self, first: Sequence[str] = ()) -> str:
        """The labelling interface (XML) that fits.

        Args:
            first: Labels that go before all others, also where they are in no image.

        Raises:
            FileFormatError: It is not of its format.
            LabelConfigError: Nothing is labelled, so there are no classes.
        """
        ...

    def entries(self, config: LabelConfig, known: Known) -> Iterator[Entry]:
        """Everything in it, one by one.

        Args:
            config: As the project reads it.
            known: What is known of it from before.
        """
        ...


class Known(Protocol):
    """What is known of a source from the last time it was read."""

    def task_id(self, key: str) -> int:
        """The id of an image's task: the same each time, and no other's."""
        ...

    def stamp(self, key: str) -> str:
        """As it was when the image was read last; "" of one that was not."""
        ...


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Label Studio's own export (JSON, JSON_MIN).

    Attributes:
        path: The file.
        images: Folder of the images; None: that of the export.
        has_channels: Whether a person named the fields of the images.
    """

    path: Path
    images: Path | None = None
    has_channels: bool = False

    def label_config(self, first: Sequence[str] = ()) -> str:
        """As the regions were drawn: classes in order of appearance."""
        reasons = Reasons()
        tasks = ExportFile(self.path).tasks(reasons.add)
        return infer_label_config(tasks, reasons, has_channels=self.has_channels, first=first)

    def entries(self, config: LabelConfig, known: Known) -> Iterator[Entry]:
        """Its tasks with their own ids; nobody can tell without reading which have changed."""
        folder = FolderOfImages(self.images or self.path.resolve().parent, plain_name)
        shared = self._shared(folder, config)
        seen: set[int] = set()
        for entry in ExportFile(self.path, choices=choice_controls(config)):
            if not isinstance(entry, SourceTask):
                yield entry
                continue
            task = entry.task
            if task.id in seen:
                yield LeftOut(task.id, "duplicate_task", f"Task {task.id} comes more than once.")
                continue
            seen.add(task.id)
            try:
                paths = _paths_of(task, config, folder, shared)
            except ImageError as error:
                yield LeftOut(task.id, error.reason, error.in_full)
                continue
            yield Found(task.id, str(task.id), "", paths, task)

    def _shared(self, folder: FolderOfImages, config: LabelConfig) -> frozenset[Path]:
        """Files that the images of several addresses would be: a/1.png and b/1.png in one folder.

        Which of them it is can't be known, so it is nobody's.
        """
        users: dict[Path, str] = {}
        shared = set()
        for task in ExportFile(self.path).tasks():
            for address in _addresses(task, config):
                path = folder.find(address).path
                if path and users.setdefault(path, identity_of(address)) != identity_of(address):
                    shared.add(path)
        return frozenset(shared)


def _addresses(task: Task, config: LabelConfig) -> list[str]:
    """Of its images; what is none is left to whoever reads them."""
    found = [first_page(task.data.get(key)) for key in config.image_keys]
    return [address for address in found if isinstance(address, str) and address]


def _paths_of(
    task: Task, config: LabelConfig, folder: FolderOfImages, shared: frozenset[Path]
) -> dict[str, Path]:
    """Address -> file of a task's images; those without a file are left to whoever reads them."""
    found = {}
    for address in _addresses(task, config):
        file = folder.find(address)
        if file.rivals or file.path in shared:
            which = (
                f"may be any of {', '.join(map(repr, file.rivals))}"
                if file.path is None
                else f"and that of another task with another address are both {file.path.name!r}"
            )
            raise ImageError(
                task.id,
                "image_ambiguous",
                f"its image {address!r} {which} in {folder.folder}.",
                remedy="Keep the images in the folders that their addresses name, and give the "
                "folder above them.",
            )
        if file.path is not None:
            found[address] = file.path
    return found


@dataclass(frozen=True, slots=True)
class OtherSource:
    """Another tool's annotations, by a format of ``nnloop import``.

    Attributes:
        format_: How it is read.
        path: File or folder.
        images: Folder of the images; None: where the source's own folders have them.
        options: About reading.
        mapping: Their class -> ours; "" leaves it out.
        empty_as_negative: Whether an image in which the source has nothing teaches that nothing is
            there; otherwise it is left out.
        channels: Names of the channels of an image that are files of their own (NAME_0000, ...);
            fields of the tasks' data are called so. () = one file each.
        order: Classes in the order of the integers that the source gives them; the others follow
            in order of appearance.
        on_image: Called after each image that is read.
    """

    format_: ImportFormat
    path: Path
    images: Path | None = None
    options: ImportOptions = field(default_factory=ImportOptions)
    mapping: Mapping[str, str] = field(default_factory=dict)
    empty_as_negative: bool = False
    channels: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    on_image: Callable[[], None] = lambda: None
    _spools: list[Spool] = field(default_factory=list, init=False, repr=False, compare=False)

    def label_config(self, first: Sequence[str] = ()) -> str:
        """Polygons with the classes that it names, in their order there, or of appearance."""
        options = self._options(None)
        self._spools[:] = [Spool(self.format_.entries(self.path, options))]
        format_ = self._spools[0].as_format(self.format_)
        found = infer_classes(format_, self.path, options, self.mapping)
        # Also where no pixel is ignored at the moment: the folder's settings name the label.
        ignored = (options.ignore_label,) if options.ignore_label else ()
        return label_config_for(
            tuple(dict.fromkeys((*first, *self._in_order(found), *ignored))), self._keys[0]
        )

    def _in_order(self, classes: Sequence[str]) -> list[str]:
        """As their integers are in the source; those without one come last, as they appear."""
        order = [self.mapping.get(name, name) for name in self.order]

        def place(name: str) -> int:
            if name in order:
                return order.index(name)
            number = name.removeprefix(UNNAMED)
            return len(order) + (int(number) if number != name and number.isdecimal() else 0)

        return sorted(classes, key=place)

    @property
    def _keys(self) -> tuple[str, ...]:
        """Fields of the tasks' data that name images."""
        return self.channels or (IMAGE_KEY,)

    def entries(self, config: LabelConfig, known: Known) -> Iterator[Entry]:
        """Its images; regions of one that was read before are not drawn round again.

        They are those that ``label_config`` has just found its classes in, where it was asked.
        """
        options = self._options(config)
        spool = self._spools.pop() if self._spools else None
        spool = spool or Spool(self.format_.entries(self.path, options))
        job = looked_through(
            ImportJob(
                spool.as_format(self.format_),
                self.path,
                options,
                config,
                ImageFinder(self.images, endings=(*IMAGE_ENDINGS, *MEDICAL_ENDINGS, "")),
                how=_EXACT,
                mapping=dict(self.mapping),
                empty_as_negative=self.empty_as_negative,
            )
        )
        seen: set[str] = set()
        for entry in job.entries():
            self.on_image()
            if isinstance(entry, LeftOut):
                yield entry
            elif entry.key in seen:
                yield left_out_repeat(entry)
            else:
                seen.add(entry.key)
                yield from self._entry(job, entry, known)

    def _entry(self, job: ImportJob, image: ImportedImage, known: Known) -> Iterator[Entry]:
        try:
            path = job.find(image)
            if path is None:
                raise ImageError(
                    image.number,
                    "image_missing",
                    f"the image {image.file_name!r} was not found.",
                    remedy="Give the folder of images with --images.",
                )
            files = self._files(image, path)
            names = [job.images.name_of(image, file) for file in files]
            paths = dict(zip(names, files, strict=True))
            task_id, stamp = known.task_id(image.key), job.stamp_of(image, path)
            if self.channels:
                stamp = content_hash([stamp, self.channels, [*map(exact_stamp_of, files)]])
            if stamp == known.stamp(image.key):
                yield Found(task_id, image.key, stamp, paths)
                return
            result, notes = job.said_of(image, size_of(image, path))
        except TaskError as error:
            yield left_out_image(error)
            return
        yield from notes
        annotation = Annotation(id=task_id, task_id=task_id, result=result)
        task = Task(task_id, 0, dict(zip(self._keys, names, strict=True)), (annotation,))
        yield Found(task_id, image.key, stamp, paths, task)

    def _files(self, image: ImportedImage, first: Path) -> list[Path]:
        """Those of all channels; ImageError where one is not there."""
        found = channel_files(first, len(self._keys))
        files = [path for path in found if path is not None]
        if len(files) < len(found):
            number = found.index(None)
            raise ImageError(
                image.number,
                "image_missing",
                f"the channel {self._keys[number]!r} of the image {image.file_name!r} was not "
                f"found (a file {number:04d} beside {first.name}).",
                remedy="Every image needs all channels that dataset.json names.",
            )
        return files

    def _options(self, config: LabelConfig | None) -> ImportOptions:
        colors = colors_of(self.mapping, config)
        return replace(self.options, colors={**colors, **self.options.colors})

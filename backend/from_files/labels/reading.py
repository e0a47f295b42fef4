"""Reads labelled files into the snapshots that the pipeline trains on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.from_files.context import PROJECT, FilesContext
from backend.from_files.labels.image_files import ImageFiles
from backend.from_files.labels.said_unions import with_said_unions
from backend.from_files.labels.sources import FileSource, Found
from backend.pipeline.basis.annotations import label_config_with
from backend.pipeline.labels import questions
from backend.settings import ProjectSettings
from backend.store import clock
from backend.store.identity import CHUNK
from backend.store.models import AnnotationRow, ProjectRow, TaskRow
from backend.store.tasks import snapshots
from converters.bookkeeping.documents import read_document, write_document
from converters.classes.dataset_unions import SaidUnions
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import without_background
from domain.annotation import LeftOut, Task
from domain.errors import LabelConfigError
from domain.labels import LabelConfig
from domain.states import TaskState
from domain.unions import union_plan

_FILE = "source.json"

IMAGE_MISSING = "image_missing"
"""Reason of an image whose file was not found."""


@dataclass(slots=True)
class _Index:
    """What was read, to be known next time: a document.

    Attributes:
        ids: Key of an image -> id of its task. No id is ever given twice.
        stamps: Key -> as it was when it was read last.
        unions: What the source said itself about unions of classes.
    """

    ids: dict[str, int] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    unions: SaidUnions = field(default_factory=SaidUnions)
    form: Literal[1] = 1

    def task_id(self, key: str) -> int:
        """The id of an image's task: the same each time, and no other's."""
        return self.ids.setdefault(key, len(self.ids) + 1)

    def stamp(self, key: str) -> str:
        """As it was when it was read last."""
        return self.stamps.get(key, "")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source held.

    Attributes:
        labelled: Tasks with an annotation, an empty one too.
        empty: Of them, those in which nothing is to be seen.
        unlabelled: Tasks without one, and those that were skipped.
        changed: Annotations that are new or others than when it was read last.
        unions: Those of classes that networks learn: the source's own or a person's.
        left_out: What could not be read, and why.
        said: What else is to be told.
        classes: Names of the integers 1, 2, ...
        found: Images with all of their files.
        missing: Labelled images of which no file was found, each with a sentence.
    """

    labelled: int
    empty: int
    unlabelled: int
    changed: int
    left_out: tuple[LeftOut, ...]
    unions: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    found: int = 0
    missing: tuple[LeftOut, ...] = ()


def read_source(
    context: FilesContext,
    source: FileSource,
    *,
    title: str,
    settings: ProjectSettings,
    label_config: str | None = None,
    unions: SaidUnions | None = None,
    asked: Collection[str] = (),
    on_task: Callable[[], None] = lambda: None,
) -> Reading:
    """Makes the folder's project say what the source says now, and starts nothing.

    Args:
        context: Of the folder.
        source: The files.
        title: Of the project.
        settings: Of the project.
        label_config: The labelling interface (XML) to go by; None: one that fits the source.
        unions: Those of classes that the source says itself; None: none.
        asked: Names of the settings that a person gives now: theirs hold.
        on_task: Called after each task.

    Raises:
        FileFormatError: The source is not what it should be.
        LabelConfigError: Nothing is labelled, or the interface can't be used.
        SettingsError: It uses a class that is no label of the interface.
    """
    data_dir = context.settings.data_dir
    index_file = data_dir / _FILE
    index = read_document(index_file, _Index) if index_file.exists() else _Index()
    said = unions or SaidUnions()
    settings = with_said_unions(settings, said, index.unions, asked)
    # From the source each time: the classes of an older one may be fewer.
    xml = label_config if label_config is not None else source.label_config()
    taken = _interface(context, source, xml, settings, is_given=label_config is not None)
    xml, config = taken.xml, taken.config
    union_plan(config.group, settings.unions, settings.union_order)
    with context.store.begin() as session:
        _project(session, title, settings)
    left_out: list[LeftOut] = []
    missing: list[LeftOut] = []
    n_found = 0
    seen: list[int] = []
    paths: dict[str, str] = {}
    stamps: dict[str, str] = {}
    changed = 0
    batch: list[Task] = []

    def write() -> int:
        with context.store.begin() as session:
            n = snapshots.write_tasks(session, PROJECT, batch, config.image_keys)
        batch.clear()
        return n

    for entry in source.entries(config, index):
        on_task()
        if not isinstance(entry, Found):
            left_out.append(entry)
            if entry.reason == IMAGE_MISSING:
                missing.append(entry)
            continue
        n_found += bool(entry.paths)
        if not entry.paths and entry.task is not None and entry.task.annotations:
            missing.append(_missing(entry.task, config))
        seen.append(entry.task_id)
        paths |= {address: str(path.resolve()) for address, path in entry.paths.items()}
        if entry.stamp:
            stamps[entry.key] = entry.stamp
        if entry.task is not None:
            batch.append(replace(entry.task, project_id=PROJECT))
        if len(batch) == CHUNK:
            changed += write()
    changed += write()
    ImageFiles(paths).keep(data_dir)
    with context.store.begin() as session:
        changed += snapshots.remove_missing(session, PROJECT, seen)
        row = session.get_one(ProjectRow, PROJECT)
        questions.take_config(session, row, xml, changed=changed)
        row.synced_at = clock.now()
        counts = snapshots.counts(session, PROJECT)
        empty = counts[TaskState.LABELLED] - _n_with_regions(session)
    # At the end: what was read before a crash is read again.
    write_document(index_file, _Index, _Index(index.ids, stamps, said))
    return Reading(
        labelled=counts[TaskState.LABELLED],
        empty=empty,
        unlabelled=counts[TaskState.UNLABELLED] + counts[TaskState.SKIPPED],
        changed=changed,
        left_out=tuple(left_out),
        unions=settings.unions,
        said=tuple(filter(None, [without_background(config.group), taken.said])),
        classes=config.class_values,
        found=n_found,
        missing=tuple(missing),
    )


def _missing(task: Task, config: LabelConfig) -> LeftOut:
    names = [str(task.data.get(key)) for key in config.image_keys]
    message = f"Task {task.id}: the file of its image {', '.join(names)!r} was not found."
    return LeftOut(task.id, IMAGE_MISSING, message)


@dataclass(frozen=True, slots=True)
class _Interface:
    """The interface that is gone by, as text and read, and a sentence about it; "" for none."""

    xml: str
    config: LabelConfig
    said: str = ""


def _interface(
    context: FilesContext,
    source: FileSource,
    xml: str,
    settings: ProjectSettings,
    *,
    is_given: bool,
) -> _Interface:
    """The interface to go by: the one of before, with what this one has besides behind it.

    So classes keep their integers when a newer source happens to name them in another order, and
    a class or a label of open pixels that is in no image at the moment stays. Where the two have no
    class in common the new one counts: somebody has given the classes their names.
    """
    with context.store.read() as session:
        row = session.get(ProjectRow, PROJECT)
        before = row.label_config if row is not None else ""
    try:
        config = label_config_with(xml, settings)
    except LabelConfigError:
        # Only a person who gives the interface says that such a label is gone.
        known = _known(before, settings) if before and not is_given else None
        if known is None or not _has_all(known, parse_label_config(xml)):
            raise
        return _Interface(before, known)
    if not before or before == xml:
        return _Interface(xml, config)
    known = _known(before, settings)
    if known is None:
        return _Interface(xml, config)
    if _has_all(known, config):
        return _Interface(before, known)
    if is_given or not set(known.class_values) & set(config.class_values):
        return _Interface(xml, config)
    wider = source.label_config(_of_before(known, row))
    return _Interface(wider, label_config_with(wider, settings), _about_absent(known, config))


def _of_before(known: LabelConfig, row: ProjectRow | None) -> list[str]:
    """Labels of before; what was none of the classes then, by the settings of then, is none now."""
    was = _known(row.label_config, row.settings) if row is not None else None
    classes = known.class_values if was is None else was.class_values
    others = {*known.group.label_values} - {*known.class_values}
    return [label for label in known.group.label_values if label in classes or label in others]


def _about_absent(known: LabelConfig, config: LabelConfig) -> str:
    absent = [
        f"{name} = {number}"
        for number, name in enumerate(known.class_values, start=1)
        if name not in config.class_values
    ]
    if not absent:
        return ""
    return (
        f"Classes of before that no image shows now keep their integers: {', '.join(absent)}. "
        "--label-config FILE.xml gives another list."
    )


def _known(before: str, settings: ProjectSettings) -> LabelConfig | None:
    """The interface of before; None where it lacks a label that the settings name now."""
    try:
        return label_config_with(before, settings)
    except LabelConfigError:
        return None


def _has_all(known: LabelConfig, config: LabelConfig) -> bool:
    labels = {label.value for label in config.group.labels}
    return (
        labels <= set(known.group.label_values)
        and _controls(config) <= _controls(known)
        and known.image_keys == config.image_keys
    )


def _controls(config: LabelConfig) -> set[tuple[str, str]]:
    return {(control.name, control.region_type) for control in config.group.controls}


def _project(session: Session, title: str, settings: ProjectSettings) -> None:
    row = session.get(ProjectRow, PROJECT)
    if row is None:
        row = ProjectRow(id=PROJECT)
        session.add(row)
    if row.settings is not None and row.settings.channels != settings.channels:
        row.n_channels = 0  # other images may be grey again
    row.title, row.settings = title, settings


def _n_with_regions(session: Session) -> int:
    """Labelled tasks in which somebody has drawn something."""
    query = (
        select(func.count(AnnotationRow.task_id.distinct()))
        .join(TaskRow, AnnotationRow.task_id == TaskRow.id)
        .where(*snapshots.is_submitted(PROJECT), func.json_array_length(AnnotationRow.result) > 0)
    )
    return session.scalar(query) or 0

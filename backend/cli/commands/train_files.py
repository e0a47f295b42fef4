"""train from files: an export or a folder of labels becomes a model, without any server."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from backend.cli.shared import console, error_console
from backend.cli.views.progress import progress, steps
from backend.cli.views.sentences import say
from backend.cli.views.training_view import (
    cancel_command,
    say_classes,
    say_interrupted,
    say_outcome,
    say_reading,
    say_unions,
    say_unnamed,
    say_use,
)
from domain.errors import FileFormatError, NnloopError, SettingsError

if TYPE_CHECKING:
    from backend.from_files.context import FilesContext
    from backend.from_files.labels.reading import Reading
    from backend.from_files.labels.sources import FileSource
    from backend.settings import ProjectSettings
    from converters.classes.dataset_unions import SaidUnions
    from domain.annotation import LeftOut
    from domain.labels import LabelGroup

SLICES = Path("data") / "slices"
"""Of the model's folder, where stacks are taken apart."""


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What `nnloop train` was given about files.

    Attributes:
        source: File or folder of labels.
        out: Folder of the model and all that belongs to it.
        images: Folder of the images.
        format_: Of the labels; "" = by what they look like.
        label_config: Labelling interface (XML) to go by.
        classes: Names of the integers of masks.
        mapping: Their class -> ours.
        empty_as_negative: Whether images in which the source has nothing teach that.
        again: Train though nothing has changed.
        settings: Of the folder, as given now.
        overrides: Of this run alone.
    """

    source: Path
    out: Path
    images: Path | None
    format_: str
    label_config: Path | None
    classes: tuple[str, ...]
    mapping: Mapping[str, str]
    empty_as_negative: bool
    again: bool
    settings: Mapping[str, Any]
    overrides: Mapping[str, Any]


def train_files(request: FilesRequest) -> None:
    """Reads the files, trains what has changed, and says what came of it."""
    from backend.from_files.context import DATA, FilesContext
    from backend.from_files.request import request_run
    from converters.bookkeeping.alone import alone_in

    _check(request)
    with alone_in(request.out, "training"):
        data = request.out / DATA
        is_new, has_run = not data.exists(), False
        try:
            context = FilesContext.at(request.out)
            reading = _read(request, context)
            run = request_run(
                context,
                request.overrides,
                again=request.again,
                asked=request.settings,
                cancel=cancel_command(request.out),
            )
            has_run = run.run_id is not None
            say(run.said)
            _train(request, context, reading, run.run_id)
        except KeyboardInterrupt:
            say_interrupted(request.out, has_run=has_run)
            raise
        except NnloopError:
            if is_new and not has_run:  # a typing error leaves nothing that looks like a model
                shutil.rmtree(data, ignore_errors=True)
            raise


def _read(request: FilesRequest, context: FilesContext) -> Reading:
    """Reads the source into the folder, and says what it holds."""
    from backend.from_files.labels.left_out import write_left_out
    from backend.from_files.labels.reading import read_source
    from backend.from_files.labels.sources import UNNAMED
    from backend.from_files.request import settings_of
    from backend.pipeline.files.export import read_label_config

    given = request.label_config
    config = read_label_config(given) if given is not None else None
    settings = settings_of(context, request.settings)
    opened = _opened(
        request, settings, config.image_key if config else "", config.group if config else None
    )
    if opened.ignore_label:
        settings = settings.model_copy(update={"ignore_label": opened.ignore_label})
    if settings.group_key is None and opened.group_key is not None:
        settings = settings.model_copy(update={"group_key": opened.group_key})
    if opened.channels is not None:
        settings = settings.model_copy(update={"channels": opened.channels})
    with progress("Reading labels", None, on=console) as on_task:
        reading = read_source(
            context,
            opened.source,
            title=request.out.resolve().name,
            settings=settings,
            label_config=config.xml if config else None,
            unions=opened.unions,
            asked=request.settings,
            on_task=on_task,
        )
    reading = replace(reading, left_out=(*opened.left_out, *reading.left_out))
    if reading.missing and not reading.found:
        write_left_out(request.out, reading.missing)
        _refuse_other_folder(request, len(reading.missing))
    write_left_out(request.out, reading.left_out)
    say_reading(reading, request.out)
    if opened.is_masks:
        say_unnamed(reading.classes, UNNAMED, request.source)
    for sentence in reading.said:
        say(sentence)
    if opened.unions is not None and opened.unions.unions:
        say_unions(opened.unions, reading.unions)
    return reading


def _refuse_other_folder(request: FilesRequest, n: int) -> NoReturn:
    """None of the images is where they are looked for."""
    from backend.from_files.labels.left_out import LEFT_OUT

    where = request.images or (request.source if request.source.is_dir() else request.source.parent)
    found = f"None of the {n} labelled images is" if n > 1 else "The only labelled image is not"
    named = "is --images right?" if request.images else "give their folder with --images."
    raise FileFormatError(
        f"{found} in {where}: {named}",
        remedy=f"Their names stand in {request.out / LEFT_OUT}.",
    )


def _train(
    request: FilesRequest, context: FilesContext, reading: Reading, run_id: int | None
) -> None:
    """Takes the run to its end, where there is one to take, and says what came of it."""
    from backend.from_files.labels.left_out import write_left_out
    from backend.from_files.outcome import outcome_of, write_outcome
    from backend.from_files.start import NOTE, start_run

    if run_id is None:
        outcome = outcome_of(context)
        write_left_out(request.out, reading.left_out, outcome.left_out)
        if outcome.classes != reading.classes:
            say_classes(outcome.classes)
        say_use(outcome, request.out)
        return
    try:
        with steps("Preparing") as on_step:

            def on_line(line: str) -> None:
                if line.startswith(NOTE):
                    say(line.removeprefix(NOTE), on=error_console)
                else:
                    on_step(line)

            start_run(request.out, run_id, on_line)
            pages = write_outcome(context, request.out, on_step)
    finally:
        outcome = outcome_of(context)
        write_left_out(request.out, reading.left_out, outcome.left_out)
    say_outcome(outcome, request.out, pages)
    if outcome.has_failed:
        raise typer.Exit(1)


def _check(request: FilesRequest) -> None:
    if not request.source.exists():
        raise FileFormatError(
            f"There is no file or folder {request.source}.", remedy="Correct the path."
        )
    if request.images is not None and not request.images.is_dir():
        raise SettingsError(f"There is no folder {request.images}.", remedy="Correct --images.")
    if request.out.exists() and not request.out.is_dir():
        raise SettingsError(
            f"{request.out} is a file.", remedy="Give --out a folder; it is made if missing."
        )
    out = request.out.resolve()
    # Images that nobody names lie beside the export; a model in a folder there is in nobody's way.
    beside = request.source.parent if request.images is None and request.source.is_file() else None
    for folder in [*_folders_of(request), *([beside] if beside is not None else [])]:
        whole = folder.resolve()
        if whole == out or (whole in out.parents and folder is not beside):
            raise SettingsError(
                f"The model would be written among the files of {folder}.",
                remedy="Give --out another folder.",
            )
        if out in whole.parents and folder is not beside:
            raise SettingsError(
                f"The files of {folder} lie in {request.out}, where the model would be.",
                remedy="Give --out another folder.",
            )


def _folders_of(request: FilesRequest) -> list[Path]:
    """Folders of images and labels: no model is written there, and none of them lies in a model."""
    from backend.from_files.labels.guess import placed

    found = [] if request.images is None else [request.images]
    if not request.source.is_dir():
        return found
    labels, images = placed(request.source, "masks", request.images)
    # Of a folder that holds both the two in it: a model may lie beside them.
    is_above = labels != request.source and request.source.resolve() != request.out.resolve()
    return [*found, *([labels, images] if is_above and images is not None else [request.source])]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the person named, ready to be read.

    What of it could not be, how it is grouped, and what the label of ignored pixels is called.
    ``channels`` are those that the source's files say; None where a person says them. ``unions`` of
    classes are those of nnU-Net's data set. ``is_masks``: it says nothing but integers.
    """

    source: FileSource
    left_out: tuple[LeftOut, ...] = ()
    group_key: str | None = None
    ignore_label: str = ""
    channels: tuple[str, ...] | None = None
    unions: SaidUnions | None = None
    is_masks: bool = False


def _opened(
    request: FilesRequest,
    settings: ProjectSettings,
    image_key: str,
    group: LabelGroup | None = None,
) -> _Opened:
    from backend.from_files.labels.guess import LABEL_STUDIO, check_format, guess_format, placed
    from backend.from_files.labels.sources import ExportSource, OtherSource
    from backend.from_files.labels.stacks import GROUP_KEY, has_stacks, unstack
    from converters.imports.formats import format_by_name
    from converters.imports.source import ImportOptions
    from converters.masks.mask_folders import folder_of_masks

    name = check_format(request.format_) if request.format_ else guess_format(request.source)
    if name == LABEL_STUDIO:
        return _Opened(
            ExportSource(request.source, request.images, has_channels=bool(settings.channels))
        )
    path, images = placed(request.source, name, request.images)
    found = _channels(path, images) if name == "masks" and images is not None else ()
    asked = request.settings.get("channels")
    if found and asked and tuple(asked) != found:
        raise SettingsError(
            f"--channel names {', '.join(asked)}; the channels of {request.source} are "
            f"{', '.join(found)}.",
            remedy="Leave --channel out: all are taken, in this order.",
        )
    if found and image_key and image_key not in found:
        found = (image_key, *found[1:])  # the interface that a person gave shows the first one
    left_out: tuple[LeftOut, ...] = ()
    group_key = None
    if name == "masks" and has_stacks(path):
        with progress("Taking stacks apart", None, on=console) as on_stack:
            slices = unstack(
                path,
                images or path,
                request.out / SLICES,
                on_stack,
                n_channels=len(found) or 1,
            )
        path, images, left_out = slices.labels, slices.images, slices.left_out
        group_key = GROUP_KEY
    ignore_label = settings.ignore_label
    if name == "masks" and not ignore_label:
        ignore_label = _ignored_by(folder_of_masks(path), request.classes)
    source = OtherSource(
        format_by_name(name),
        path,
        images,
        ImportOptions(request.classes, ignore_label=ignore_label),
        request.mapping,
        # A mask says of each of its pixels what it is; others only name what they have seen.
        empty_as_negative=request.empty_as_negative or name == "masks",
        channels=found,
        order=_order(path, request.classes) if name == "masks" else (),
    )
    channels = found if found or not asked else None
    unions = _unions(request, folder_of_masks(path), group) if name == "masks" else None
    return _Opened(
        source, left_out, group_key, ignore_label, channels, unions, is_masks=name == "masks"
    )


def _order(masks: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes in the order of their integers in masks."""
    from converters.classes.integers import classes_beside
    from converters.masks.mask_folders import folder_of_masks

    if classes or not masks.is_dir():
        return tuple(classes)
    names = classes_beside(folder_of_masks(masks)).names
    return tuple(names[integer] for integer in sorted(names))


def _unions(request: FilesRequest, masks: Path, group: LabelGroup | None) -> SaidUnions | None:
    """Unions of classes that nnU-Net's dataset.json says."""
    from backend.from_files.labels.said_unions import unions_of_masks

    try:
        return unions_of_masks(masks, request.classes, request.mapping, group)
    except FileFormatError:
        if "unions" in request.settings or not masks.is_dir():
            return None  # a person says what is learned; and a missing folder is said elsewhere
        raise


def _channels(labels: Path, images: Path) -> tuple[str, ...]:
    from converters.masks.channel_files import channels_of
    from converters.masks.mask_folders import mask_files

    if not labels.is_dir():
        return ()
    try:
        stems = [name for file in mask_files(labels) for name in file.names]
    except FileFormatError:  # masks of classes, or none: reading them says so
        return ()
    return channels_of(labels, images, stems)


def _ignored_by(masks: Path, classes: Sequence[str]) -> str:
    """What to call the label of pixels that the files beside masks say are ignored; "" for none."""
    from converters.classes.dataset_unions import IGNORE
    from converters.classes.integers import IGNORED, classes_beside

    said = classes_beside(masks)
    names = dict(enumerate(classes, start=1)) or said.names
    if not said.ignored - names.keys():
        return ""
    return IGNORED if IGNORE in names.values() else IGNORE

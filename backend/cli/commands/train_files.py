"""train from files: an export or a folder of labels becomes a model, without any server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from backend.cli.shared import console
from backend.cli.views.progress import progress, steps
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.errors import SettingsError
from domain.text import counted

if TYPE_CHECKING:
    from backend.from_files.outcome import Outcome
    from backend.from_files.reading import Reading
    from backend.from_files.sources import FileSource
    from backend.settings import ProjectSettings
    from domain.annotation import LeftOut

SLICES = Path("data") / "slices"
"""Of the model's folder, where stacks are taken apart."""

MOST_LEFT_OUT = 10
"""Sentences about what was left out that are printed; the others are counted."""


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
    from backend.from_files.context import FilesContext
    from backend.from_files.outcome import outcome_of, write_outcome
    from backend.from_files.reading import read_source
    from backend.from_files.request import request_run, settings_of
    from backend.from_files.start import start_run
    from backend.pipeline.files.export import read_label_config
    from converters.bookkeeping.alone import alone_in

    _check(request)
    with alone_in(request.out, "training"):
        given = request.label_config
        xml = read_label_config(given).xml if given is not None else None
        context = FilesContext.at(request.out)
        settings = settings_of(context, request.settings)
        opened = _opened(request, settings)
        if opened.ignore_label:
            settings = settings.model_copy(update={"ignore_label": opened.ignore_label})
        if settings.group_key is None and opened.group_key is not None:
            settings = settings.model_copy(update={"group_key": opened.group_key})
        with progress("Reading", None, on=console) as on_task:
            reading = read_source(
                context,
                opened.source,
                title=request.out.resolve().name,
                settings=settings,
                label_config=xml,
                on_task=on_task,
            )
        _say_reading(replace(reading, left_out=(*opened.left_out, *reading.left_out)))
        run = request_run(context, request.overrides, again=request.again)
        say(run.said)
        if run.run_id is None:
            return
        with steps() as on_step:
            start_run(request.out, run.run_id, on_step)
            pages = write_outcome(context, request.out, on_step)
        _say_outcome(outcome_of(context), request.out, pages)


def _check(request: FilesRequest) -> None:
    if request.images is not None and not request.images.is_dir():
        raise SettingsError(f"There is no folder {request.images}.", remedy="Correct --images.")
    out = request.out.resolve()
    inside = [path for path in (request.source, request.images) if path and path.resolve() == out]
    if inside:
        raise SettingsError(
            f"The model would be written among the files of {inside[0]}.",
            remedy="Give --out another folder.",
        )
    if request.out.exists() and not request.out.is_dir():
        raise SettingsError(
            f"{request.out} is a file.", remedy="Give --out a folder; it is made if missing."
        )


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the person named, ready to be read.

    What of it could not be, how it is grouped, and what the label of ignored pixels is called.
    """

    source: FileSource
    left_out: tuple[LeftOut, ...] = ()
    group_key: str | None = None
    ignore_label: str = ""


def _opened(request: FilesRequest, settings: ProjectSettings) -> _Opened:
    from backend.from_files.guess import (
        LABEL_STUDIO,
        check_channels,
        check_format,
        guess_format,
        placed,
    )
    from backend.from_files.sources import ExportSource, OtherSource
    from backend.from_files.stacks import GROUP_KEY, has_stacks, unstack
    from converters.imports.formats import format_by_name
    from converters.imports.source import ImportOptions
    from converters.masks.mask_folders import folder_of_masks

    name = check_format(request.format_) if request.format_ else guess_format(request.source)
    if name == LABEL_STUDIO:
        return _Opened(
            ExportSource(request.source, request.images, has_channels=bool(settings.channels))
        )
    path, images = placed(request.source, name, request.images)
    check_channels(images)
    left_out: tuple[LeftOut, ...] = ()
    group_key = None
    if name == "masks" and has_stacks(path):
        with progress("Taking stacks apart", None, on=console) as on_stack:
            slices = unstack(path, images or path, request.out / SLICES, on_stack)
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
    )
    return _Opened(source, left_out, group_key, ignore_label)


def _ignored_by(masks: Path, classes: Sequence[str]) -> str:
    """What to call the label of pixels that the files beside masks say are ignored; "" for none."""
    from converters.classes.integers import IGNORE, IGNORED, classes_beside

    said = classes_beside(masks)
    names = dict(enumerate(classes, start=1)) or said.names
    if not said.ignored - names.keys():
        return ""
    return IGNORED if IGNORE in names.values() else IGNORE


def _say_reading(reading: Reading) -> None:
    empty = f", {reading.empty} of them with nothing to see" if reading.empty else ""
    others = f"; {reading.unlabelled} without a label" if reading.unlabelled else ""
    say(f"{counted(reading.labelled, 'labelled image')}{empty}{others}.")
    for note in reading.left_out[:MOST_LEFT_OUT]:
        say(f"Left out: {note.message}")
    if len(reading.left_out) > MOST_LEFT_OUT:
        say(f"... and {len(reading.left_out) - MOST_LEFT_OUT} more.")


def _say_outcome(outcome: Outcome, out: Path, pages: Sequence[Path]) -> None:
    for sentence in outcome.left_out[:MOST_LEFT_OUT]:
        say(f"Left out: {sentence}")
    if len(outcome.left_out) > MOST_LEFT_OUT:
        say(f"... and {len(outcome.left_out) - MOST_LEFT_OUT} more.")
    if outcome.dice:
        table = Table(("Class", "Held-out Dice", "Images that show it"))
        for name, dice in outcome.dice.items():
            shown = outcome.images_of_class.get(name)
            table.add(
                name, "-" if dice is None else f"{dice:.3f}", "-" if shown is None else str(shown)
            )
        table.print()
    for sentence in outcome.said:
        say(sentence)
    for page in pages:
        console.print(f"Written: {page}", highlight=False, markup=False, soft_wrap=True)
    if outcome.version:
        say(f"Predict with it: nnloop predict IMAGES --model {out} --out masks")
    if outcome.has_failed:
        raise typer.Exit(1)

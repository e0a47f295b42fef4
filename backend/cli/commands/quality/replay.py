"""replay: the loop played again on labelled images, to compare strategies."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.outputs import output_folder
from backend.cli.shared import AsJson, DataDir, console, error_console
from backend.cli.views.progress import progress
from backend.cli.views.tables import Table
from domain.errors import SettingsError
from training.presets import PRESETS

if TYPE_CHECKING:
    from backend.replay.images.library import Library


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("replay")(replay)


def replay(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with images/ and masks/, their files named alike."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(help="Instead: id or title of a connected project that was trained once."),
    ] = None,
    strategies: Annotated[
        str,
        typer.Option(
            help="Names, with commas between. Random, stratified_random (which fills the queues of "
            "a project unless told otherwise) and its oracle are always played."
        ),
    ] = "stratified_random,lowest_score",
    seeds: Annotated[int, typer.Option(min=1, help="How often, from other starts.")] = 4,
    start: Annotated[int, typer.Option(min=1, help="Images labelled at first.")] = 8,
    batch: Annotated[int, typer.Option(min=1, help="Images that each round adds.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Trainings of each strategy.")] = 6,
    preset: Annotated[
        str, typer.Option(help=f"Whose network: {', '.join(PRESETS)}; the last two want a GPU.")
    ] = "pretrained",
    steps: Annotated[int, typer.Option(help="Optimiser steps of every network.")] = 200,
    image_side: Annotated[
        int, typer.Option(help="Longest side at which networks see the images, in pixels.")
    ] = 128,
    folds: Annotated[int, typer.Option(min=2, help="Networks trained together.")] = 3,
    test_share: Annotated[
        float, typer.Option(help="Share of the images kept to measure on, whole groups.")
    ] = 0.3,
    classes: Annotated[
        str | None, typer.Option(help="Of --data: names of the integers 1, 2, ...: lumen,wall.")
    ] = None,
    group_key: Annotated[
        str | None,
        typer.Option(
            help=r"Of --data: part of a file's name that names the patient: 'name:^(P\d+)_'"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        output_folder(help="Folder for the report and all trainings; default: replay-NAME."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Compare strategies: play the labelling loop again on images whose labels are known.

    A simulated annotator labels what each strategy asks for, and its effort is counted; after
    each batch networks are trained as in a project, and measured on images that none has seen.
    Writes report.md, report.json and curves.png, and changes nothing anywhere else. May take hours;
    interrupted and called again it goes on.

    Example: nnloop replay --data ultrasound --strategies lowest_score,typical --seeds 2

    Example: nnloop replay --project "Carotid"
    """
    from backend.replay.conclusion import conclusion
    from backend.replay.options import ReplayOptions
    from backend.replay.replay import Replay
    from backend.replay.report import CURVES, TEXT, table_of, write_report
    from backend.replay.start import start_replay
    from converters.bookkeeping.alone import alone_in

    options = ReplayOptions(
        strategies=_names(strategies),
        seeds=seeds,
        start=start,
        batch=batch,
        rounds=rounds,
        preset=preset,
        steps=steps,
        image_side=image_side,
        folds=folds,
        test_share=test_share,
    )
    if (data is None) == (project is None):
        raise SettingsError(
            "Nothing says what to replay." if data is None else "Both --data and --project.",
            remedy="Give one of --data FOLDER and --project PROJECT.",
        )
    if project is not None and (classes or group_key):
        raise SettingsError(
            "--classes and --group-key are for folders, and a project was named.",
            remedy="Leave them out: the project's own count.",
        )
    name = data.resolve().name if data is not None else project or ""
    root = out or Path(f"replay-{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}")
    if data is not None and root.resolve() == data.resolve():
        raise SettingsError(
            f"The report would be written among the files of {data}.",
            remedy="Give --out another folder.",
        )
    with alone_in(root, "replay"):
        of_folder = (_names(classes or ""), group_key or "")
        library = _library(data, project, root, of_folder, data_dir)
        say = partial(_say, as_json)
        for sentence in library.left_out:
            say(f"Left out: {sentence}")
        played = Replay(root, library, options)
        played.require_classes()
        if not played.is_whole:
            start_replay(root, options, say)
        results = write_report(played)
    concluded = conclusion(results, library.loop)
    if as_json:
        import json

        typer.echo(json.dumps(results.to_json() | {"conclusion": concluded}))
        return
    head, *rows = table_of(results)
    table = Table(head)
    for cells in rows:
        table.add(*cells)
    table.print()
    for line in (f"The whole report: {root / TEXT}, {root / CURVES}\n", *concluded):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _library(
    data: Path | None,
    project: str | None,
    root: Path,
    of_folder: tuple[tuple[str, ...], str],
    data_dir: Path | None,
) -> Library:
    from backend.replay.images.source import library_of_folder, library_of_project

    with progress("Reading images", None) as on_image:
        if data is not None:
            classes, group_key = of_folder
            return library_of_folder(
                data, root, classes=classes, group_key=group_key, on_image=on_image
            )
        from backend.cli.shared import connected

        assert project is not None  # noqa: S101 - one of the two is given
        context, project_id = connected(project, data_dir)
        place = context.settings.data_dir
        return library_of_project(context.store, place, project_id, root, on_image)


def _say(as_json: bool, line: str) -> None:
    on = error_console if as_json else console
    on.print(line, highlight=False, markup=False, soft_wrap=True)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if len(set(names)) < len(names):
        raise SettingsError(f"A name stands twice in {text!r}.", remedy="Correct it.")
    return names

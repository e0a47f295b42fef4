"""predict: images in files become masks, pictures and a table, without any server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.outputs import output_folder
from backend.cli.shared import Spacing, console, error_console
from backend.cli.views.progress import steps
from backend.cli.views.sentences import say
from domain.errors import SettingsError
from domain.text import counted

_UNPACKED = ".nnloop-model-"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("predict")(predict)


def predict(
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders with all that is below them.")
    ],
    model: Annotated[
        Path,
        typer.Option(
            help="Folder that `nnloop train FILES --out` has written, or a version's; or a model's "
            "zip, as `nnloop models export` writes it."
        ),
    ],
    out: Annotated[Path, output_folder(help="Folder of the masks; made if missing.")],
    overlays: Annotated[
        bool, typer.Option("--overlays", help="Also pictures of image and prediction.")
    ] = False,
    color: Annotated[
        str,
        typer.Option(
            help="Of all classes in overlays: green, #00ff00; without it that of their label."
        ),
    ] = "",
    opacity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of the tint in overlays; 0: outlines alone.")
    ] = 0.28,
    values: Annotated[
        str | None,
        typer.Option(
            help="What masks hold for the background and each class: numbers such as 0,255, "
            "colours such as black,#00ff00, or colors: those of the labels. Without it 0, 1, 2, ..."
        ),
    ] = None,
    nifti: Annotated[
        bool, typer.Option("--nifti", help="Masks as NIfTI, in the place of PNG.")
    ] = False,
    tasks: Annotated[
        bool,
        typer.Option(
            "--tasks", help="Also predictions.json, tasks with predictions for Label Studio."
        ),
    ] = False,
    image_url: Annotated[
        str,
        typer.Option(
            help="Of --tasks: where Label Studio finds the images; put before their names: "
            "/data/local-files/?d=scans/"
        ),
    ] = "",
    spacing: Spacing = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on with what comes into the folders, until Ctrl-C."),
    ] = False,
) -> None:
    """Predict images in files: masks, and a table with scores, areas and parts.

    A second run predicts only what is new or changed. An image that can't be read is left out and
    named; then the command ends with code 1.

    Example: nnloop predict new_scans --model carotid --out masks --overlays

    Example: nnloop predict new_scans --model vessels.zip --out masks --values colors
    """
    from backend.from_files.models import find_model
    from backend.from_files.predictions.predicting import REPORT, start_predicting
    from backend.from_files.predictions.results import TABLE, ResultOptions, palette_of, values_of
    from backend.from_files.predictions.told import LEFT_OUT, Told
    from backend.from_files.predictions.up_to_date import n_up_to_date
    from converters.bookkeeping.alone import alone_in
    from converters.exports.options import parse_spacing

    numbers, colors = _values(values)
    if colors and nifti:
        raise SettingsError(
            "NIfTI holds numbers, and --values gives colours.", remedy="Leave one of them out."
        )
    options = ResultOptions(
        overlays=overlays,
        color=_color(color),
        opacity=opacity,
        values=numbers,
        colors=colors,
        nifti=nifti,
        tasks=tasks,
        image_url=image_url,
        spacing_mm=parse_spacing(spacing) if spacing is not None else None,
    )
    if any(source.resolve() == out.resolve() for source in images):
        raise SettingsError(
            f"The masks would be written among the images of {out}.",
            remedy="Give --out another folder.",
        )
    inside = [source for source in images if out.resolve() in source.resolve().parents]
    if any(source.is_dir() for source in inside):
        raise SettingsError(
            f"The images of {inside[0]} lie in {out}, where the masks would be.",
            remedy="Give --out another folder.",
        )
    told = Told()

    with (
        alone_in(out, "prediction"),
        steps("Loading the model") as on_step,
        _folder_of(model, out, on_step) as folder,
    ):
        # Told before networks are loaded.
        config = find_model(folder).config
        values_of(config, options.values)
        if options.colors:
            palette_of(config, options.colors)

        if not watch:
            n = n_up_to_date(images, find_model(folder), out, options)
            if n is not None:
                say(f"{counted(n, 'image was', 'images were')} predicted before, and unchanged.")
                _say_table(out / TABLE)
                return

        def on_line(line: str) -> None:
            if told.take(line):
                is_left_out = line.startswith(LEFT_OUT)
                # Named once, at the end; who watches is told at once.
                shown = "Predicting" if is_left_out and not watch else line
                on_step(shown, told.n_predicted + len(told.left_out))

        if watch:
            folders = ", ".join(str(source) for source in images)
            say(f"Watching {folders}; Ctrl-C ends.", on=error_console)
        try:
            start_predicting(images, folder, out, options, watches=watch, on_line=on_line)
        except KeyboardInterrupt:
            if not watch:
                raise
    if told.n_predicted or not told.notes:
        say(f"{counted(told.n_predicted, 'image')} predicted into {out}.")
    for line in (*told.notes, *told.left_out):
        say(line)
    _say_table(out / TABLE)
    if told.left_out:
        say(f"What was left out and why: {out / REPORT}")
        raise typer.Exit(1)


def _say_table(path: Path) -> None:
    console.print(f"Scores and areas: {path}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _folder_of(model: Path, out: Path, on_step: Callable[[str], None]) -> Iterator[Path]:
    """A model's folder; a zip is unpacked beside the results, and goes when they are there."""
    from backend.from_files.model_zip import is_model_zip, unpacked_model

    if not is_model_zip(model):
        yield model
        return
    on_step(f"Unpacking {model.name}")
    for left in out.glob(f"{_UNPACKED}*"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNPACKED, dir=out) as folder:
        yield unpacked_model(model, Path(folder))


def _values(text: str | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers, or colours: what masks are to hold."""
    from PIL import ImageColor

    from backend.from_files.predictions.results import OF_LABELS

    parts = [part.strip() for part in (text or "").split(",")]
    if text is None:
        return (), ()
    if parts in (["colors"], ["colours"]):
        return (), OF_LABELS
    try:
        if all(part.lstrip("+-").isdigit() for part in parts):
            return tuple(map(int, parts)), ()
        for part in parts:
            ImageColor.getrgb(part)
    except ValueError:
        raise SettingsError(
            f"--values is {text!r}.",
            remedy="Write numbers with commas between (0,255), colours (black,#00ff00), or colors.",
        ) from None
    return (), tuple(parts)


def _color(text: str) -> str:
    from PIL import ImageColor

    try:
        if text:
            ImageColor.getrgb(text)
    except ValueError:
        raise SettingsError(
            f"--color is {text!r}, which is none.", remedy="Write it as green or #00ff00."
        ) from None
    return text

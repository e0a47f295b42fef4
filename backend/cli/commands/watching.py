"""preview and film: what a run's folds say now, and how they have learned it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.commands.training_log import RunNumber
from backend.cli.export_source import is_folder
from backend.cli.outputs import output_file
from backend.cli.shared import DataDir, connected, console, figure
from backend.cli.views.progress import steps
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.errors import NotConnectedError, SettingsError, TrainingError

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")

Source = Annotated[
    str,
    typer.Argument(
        metavar="PROJECT|FOLDER",
        help="Id or title of a connected project; or the folder of `nnloop train FILES --out`.",
    ),
]
Folds = Annotated[
    list[int] | None, typer.Option("--fold", min=0, help="Only this fold; repeat for more.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("preview")(preview)
    app.command("film")(film)


def preview(
    source: Source,
    task: Annotated[
        str | None,
        typer.Option(help="Show this task, by its id or the name of its image, labelled or not."),
    ] = None,
    fold: Folds = None,
    cases: Annotated[
        int | None,
        typer.Option(min=1, help="Held-out cases of each fold; without it 4 in all, or 1 each."),
    ] = None,
    out: Annotated[Path, output_file(help="The PNG to write.")] = Path("preview.png"),
    device: Annotated[
        str, typer.Option(help="Where to predict: cpu, cuda:0, mps. On cpu nothing else waits.")
    ] = "cpu",
    run: RunNumber = None,
    data_dir: DataDir = None,
) -> None:
    """Draw what the folds' newest checkpoints predict now, beside the truth of held-out cases.

    A training goes on undisturbed meanwhile. The cases are the same ones each time.

    Example: nnloop preview "Carotid"

    Example: nnloop preview carotid --task scan_017.png --out preview_017.png
    """
    from backend.report.watching.preview import PreviewOptions
    from backend.report.watching.preview import preview as make_preview

    _check_png(out)
    if not _DEVICE.fullmatch(device):
        raise SettingsError(
            f"--device is {device!r}.", remedy="Give cpu, cuda:0 (or another number) or mps."
        )
    opened, project_id = _opened(source, data_dir)
    _refuse_image(opened, out)
    options = PreviewOptions(run, tuple(fold or ()), task, cases, device)
    with steps() as on_step:
        made = make_preview(opened, project_id, out, options, on_step)
    table = Table(("Fold", "Epoch", "Image", "Dice"), title=f"Run {made.run}")
    for row in made.rows:
        epoch = f"{row.epoch} of {row.epochs}"
        table.add(str(row.fold), epoch, row.name, figure(row.dice))
    table.print()
    for sentence in made.said:
        say(sentence)
    console.print(f"Written: {out}", highlight=False, markup=False, soft_wrap=True)


def film(
    source: Source,
    out: Annotated[Path, output_file(help="The file to write, .gif or .mp4.")],
    fold: Folds = None,
    run: RunNumber = None,
    data_dir: DataDir = None,
) -> None:
    """Show a run's folds learning, each on a case that it has not seen: a film of a few seconds.

    Example: nnloop film "Carotid" --out training.gif
    """
    from backend.report.watching.film import make_film
    from converters.pictures.moving import check_ending

    check_ending(out)
    opened, project_id = _opened(source, data_dir)
    _refuse_image(opened, out)
    made = make_film(opened, project_id, out, number=run, folds=tuple(fold or ()))
    table = Table(("Fold", "Image", "Last epoch", "Dice, first", "last"), title=f"Run {made.run}")
    for one in made.folds:
        dice = figure(one.first_dice), figure(one.last_dice)
        table.add(str(one.fold), one.name, str(one.epoch), *dice)
    table.print()
    for sentence in made.said:
        say(sentence)
    size = f"{made.seconds:.0f} s, {made.n_bytes / 1e6:.1f} MB"
    console.print(f"Written: {out} ({size})", highlight=False, markup=False, soft_wrap=True)


def _check_png(out: Path) -> None:
    if out.suffix.lower() != ".png" or out.is_dir():
        raise TrainingError(
            f"{out} is no name of a PNG.", remedy="Let --out end with .png: preview.png."
        )


def _refuse_image(opened: AppContext, out: Path) -> None:
    """Nothing is written over an image that a folder was trained on."""
    from backend.from_files.context import FilesContext

    if isinstance(opened, FilesContext) and opened.images.has(out):
        raise SettingsError(
            f"{out} is one of the images that were trained on: it would be lost.",
            remedy="Give --out another name.",
        )


def _opened(source: str, data_dir: Path | None) -> tuple[AppContext, int]:
    """The project of a folder of training from files, or a connected one."""
    if not is_folder(source):
        return _connected(source, data_dir)
    from backend.from_files.context import DATA, PROJECT, FilesContext

    path = Path(source)
    if (path / DATA / "nnloop.db").is_file():
        return FilesContext.at(path), PROJECT
    if path.name != source:
        raise TrainingError(
            f"There is no training in the folder {source}.",
            remedy="Give the folder that nnloop train FILES --out has written, or a project.",
        )
    return _connected(source, data_dir)


def _connected(source: str, data_dir: Path | None) -> tuple[AppContext, int]:
    """A connected project; what could be meant as a folder is told of in these words."""
    try:
        return connected(source, data_dir)
    except NotConnectedError as error:
        if source.isdecimal() or data_dir is not None:
            raise
        what = "No training has begun in the folder" if is_folder(source) else "There is no folder"
        raise TrainingError(
            f"{what} {source}, and no project of that name is connected.",
            remedy="Give the folder that nnloop train FILES --out has written, or a connected "
            "project.",
        ) from error

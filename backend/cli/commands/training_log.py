"""log and curves: what a run's folds say while they train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.commands.projects import Project
from backend.cli.outputs import output_file
from backend.cli.shared import DataDir, connected
from backend.cli.views.sentences import say
from domain.errors import TrainingError
from domain.states import FoldStatus
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext
    from backend.pipeline.runs.run_report import FoldReport, RunReport

FOLLOW_S = 0.5

RunNumber = Annotated[
    int | None, typer.Option("--run", help="Number of the run; without it: the newest.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("log")(log)
    app.command("curves")(curves)


def log(
    project: Project,
    fold: Annotated[
        int | None, typer.Option(help="The fold; without it: one that trains, or the last one.")
    ] = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Lines from the end.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the fold or Ctrl-C ends it.")
    ] = False,
    run: RunNumber = None,
    data_dir: DataDir = None,
) -> None:
    """Print the last lines a fold's training has written.

    Example: nnloop log "Carotid" --fold 0 --follow
    """
    from training.folds.log import tail
    from training.folds.spec import LOG

    opened, project_id = connected(project, data_dir)
    chosen = _run(opened, project_id, run)
    shown = _fold(chosen, fold)
    folder = opened.workspace(project_id).fold_dir(chosen.number, shown.fold)
    if not (folder / LOG).exists():
        raise TrainingError(
            f"Fold {shown.fold} of run {chosen.number} has written no log yet ({shown.status}).",
            remedy="A run that was cancelled or pruned has none any more.",
        )
    end = (folder / LOG).stat().st_size
    for line in tail(folder, lines):
        typer.echo(line)
    if not follow:
        return
    try:
        _follow(opened, project_id, chosen.number, shown.fold, folder / LOG, end)
    except KeyboardInterrupt:
        return


def curves(
    project: Project,
    out: Annotated[Path, output_file("--out", help="The PNG file to write.")],
    run: RunNumber = None,
    data_dir: DataDir = None,
) -> None:
    """Draw loss and Dice of a run's folds against its epochs.

    Example: nnloop curves "Carotid" --out carotid.png
    """
    from training.folds.curves import draw_curves
    from training.folds.log import read_progress

    opened, project_id = connected(project, data_dir)
    chosen = _run(opened, project_id, run)
    workspace = opened.workspace(project_id)
    progress = {
        fold.fold: read_progress(workspace.fold_dir(chosen.number, fold.fold))
        for fold in chosen.folds
    }
    if not any(progress.values()):
        raise TrainingError(
            f"Run {chosen.number} has no finished epoch to draw.",
            remedy="Wait for the first one (nnloop status), or name another run (--run).",
        )
    draw_curves(progress, out)
    say(f"{out}: {counted(sum(map(bool, progress.values())), 'fold')} of run {chosen.number}.")


def _run(opened: AppContext, project_id: int, number: int | None) -> RunReport:
    from backend.pipeline.status import reports_of_runs

    reports = reports_of_runs(opened, project_id, number=number)
    if reports:
        return reports[0]
    if number is None or not reports_of_runs(opened, project_id):
        raise TrainingError(
            f"Project {project_id} has no training run yet.",
            remedy=f"Start one (nnloop train {project_id}); what the first one waits for: nnloop "
            f"status {project_id}",
        )
    raise TrainingError(
        f"Project {project_id} has no run {number}.", remedy=f"See nnloop runs {project_id}"
    )


def _fold(run: RunReport, number: int | None) -> FoldReport:
    in_training = [fold for fold in run.folds if fold.status == FoldStatus.RUNNING]
    begun = [fold for fold in run.folds if fold.attempts]
    for fold in (*in_training, *reversed(begun), *run.folds):
        if number in (None, fold.fold):
            return fold
    missing = "no fold yet" if number is None else f"no fold {number}"
    known = ", ".join(str(fold.fold) for fold in run.folds)
    raise TrainingError(
        f"Run {run.number} has {missing} ({run.status}).",
        remedy=f"Its folds are {known}." if known else "Folds follow once its cases are prepared.",
    )


def _follow(
    opened: AppContext, project_id: int, number: int, fold: int, path: Path, offset: int
) -> None:
    while True:
        run = _run(opened, project_id, number)
        # A run that failed or was cancelled leaves folds behind that are neither done nor failed.
        is_over = run.status.is_final or _fold(run, fold).status.is_final
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                added = file.read()
            offset += len(added)
            typer.echo(added.decode(errors="replace"), nl=False)
        elif not is_over:
            return  # the run was cancelled
        if is_over:
            return
        time.sleep(FOLLOW_S)

"""train, runs, pause, resume, cancel: a project's training runs in a person's hands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.commands.projects import Project
from backend.cli.commands.train_files import FilesRequest, train_files
from backend.cli.export_source import export_file_of, is_folder
from backend.cli.outputs import output_folder
from backend.cli.setting_options import values_of, with_settings
from backend.cli.shared import AsJson, DataDir, ago, connected, keep_private
from backend.cli.views.sentences import say, with_reason
from backend.cli.views.tables import Table
from backend.settings import ProjectSettings
from backend.settings.duration import say_duration
from backend.settings.option import flags_of
from backend.settings.project import TRAINING
from domain.errors import SettingsError
from domain.states import FoldStatus, RunControl, RunStatus

if TYPE_CHECKING:
    from backend.pipeline.runs.run_report import RunReport


FILES = "From files"
OF_FILES = (
    "group_key",
    "join_alike",
    "channels",
    "annotator_policy",
    "label_priority",
    "unions",
    "union_order",
    "ignore_label",
    "background_label",
    "unlabelled",
    "unlabelled_choice",
    "keypoints",
    "line_width_px",
    "seed",
    "gate_margin",
)
"""Settings of a project that are options of a training from files."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (train, runs, pause, resume, cancel):
        app.command(command.__name__)(command)


@with_settings(
    names=(
        "budget_s",
        "preset",
        "trainer",
        "planner",
        "plans",
        "gpu_memory_gb",
        "n_folds",
        "mirror_train",
        *OF_FILES,
    ),
    says_defaults=False,
)
def train(
    source: Annotated[
        str,
        typer.Argument(
            help="Id or title of a connected project; or, with --out, a file or folder of labels."
        ),
    ],
    out: Annotated[
        Path | None,
        output_folder(
            help="Train from files: folder of the model, report.html and all that belongs to it; "
            "made if missing.",
            rich_help_panel=FILES,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the images, if not beside the labels.", rich_help_panel=FILES),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the labels: label-studio, or one of `nnloop import`; without it what "
            "they look like.",
            rich_help_panel=FILES,
        ),
    ] = None,
    label_config: Annotated[
        Path | None,
        typer.Option(
            help="Labelling interface (XML) to go by; without it one that fits the labels.",
            rich_help_panel=FILES,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the integers 1, 2, ... of masks: lumen,wall.", rich_help_panel=FILES
        ),
    ] = None,
    empty_as_negative: Annotated[
        bool,
        typer.Option(
            "--empty-as-negative",
            help="An image in which the labels name nothing teaches that nothing is there; without "
            "it only empty masks do.",
            rich_help_panel=FILES,
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Train though nothing has changed.", rich_help_panel=FILES),
    ] = False,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Do not start from the serving version.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    replan: Annotated[
        bool,
        typer.Option(
            "--replan",
            help="Make new plans, though the old ones still fit.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from",
            metavar="VERSION|FILE.zip",
            help="Start from a version, of this project or another, or from nnU-Net's model zip; "
            "with its plans.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="theirs=ours for a class of --start-from, or of the files, named otherwise; "
            "theirs= leaves it out.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    data_dir: DataDir = None,
    **given: Any,
) -> None:
    """Start a training run now, however few annotations are new. Or train from files, with --out.

    Of a project the options hold for this run; without them the settings of the project do, which
    `nnloop connect` changes. Ends with code 1 when a run is active: a project has one at a time.

    Files need no server: Label Studio's export, masks or nnU-Net's data set, COCO, LabelMe, VIA,
    YOLO, CVAT, VOC. Interrupted, the same command goes on; with newer labels it prepares what has
    changed and starts from the weights it has.

    Example: nnloop train "Carotid" --budget 10m

    Example: nnloop train "Carotid" --start-from vessels.zip --map vessel=lumen

    Example: nnloop train export.json --images images --out carotid
    """
    from backend.pipeline.models.starts import find_start
    from backend.pipeline.runs.request import request_training
    from converters.classes.matching import parse_map

    values = values_of(given)
    if out is not None:
        request = FilesRequest(
            Path(source),
            out,
            images,
            format_ or "",
            label_config,
            tuple(name.strip() for name in (classes or "").split(",") if name.strip()),
            parse_map(map_ or ()),
            empty_as_negative=empty_as_negative,
            again=again,
            settings=values,
            overrides=_of_run(from_scratch=from_scratch, replan=replan),
        )
        train_files(request)
        return
    _refuse_files_options(
        source,
        values,
        {
            "--images": images,
            "--format": format_,
            "--label-config": label_config,
            "--classes": classes,
            "--empty-as-negative": empty_as_negative,
            "--again": again,
        },
    )
    overrides = values
    if map_ and not start_from:
        raise typer.BadParameter("--map says what classes of --start-from are; name that, too.")
    clash = next((f"--{key}" for key in ("plans", "planner") if overrides.get(key)), "")
    if start_from and (clash or from_scratch):
        raise typer.BadParameter(
            "--start-from takes weights and the plans they belong to: leave "
            f"{clash or '--from-scratch'} out."
        )
    overrides |= _of_run(from_scratch=from_scratch, replan=replan)
    keep_private(data_dir)
    opened, project_id = connected(source, data_dir)
    start = None
    if start_from:
        start = find_start(opened, project_id, start_from, parse_map(map_ or ()))
        # A preset that was named is not the model's to choose.
        preset = {"preset": overrides["preset"]} if "preset" in overrides else {}
        overrides |= start.settings | preset
    say(request_training(opened, project_id, overrides))
    if start is not None:
        say(start.remark)


def _of_run(*, from_scratch: bool, replan: bool) -> dict[str, Any]:
    return ({"warm_start": False} if from_scratch else {}) | ({"replan": True} if replan else {})


def _refuse_files_options(
    source: str, values: Mapping[str, Any], options: Mapping[str, object]
) -> None:
    """What is for files alone, of a project; or files without a folder for the model."""
    wrong = [name for name, value in options.items() if value]
    wrong += [flags_of(n, ProjectSettings.model_fields[n]) for n in OF_FILES if n in values]
    if wrong or export_file_of(source) is not None or is_folder(source):
        raise SettingsError(
            f"{', '.join(wrong)} is for training from files."
            if wrong
            else f"{source} is a file or folder, and nothing says where its model goes.",
            remedy="Name a folder for the model with --out"
            + (", or set it for the project with `nnloop connect`." if wrong else "."),
        )


def runs(project: Project, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the 20 newest training runs: how they ended, what was asked for, how long they took.

    Example: nnloop runs "Carotid"
    """
    from backend.pipeline.status import reports_of_runs

    reports = reports_of_runs(*connected(project, data_dir))
    if as_json:
        typer.echo(json.dumps([run.model_dump(mode="json") for run in reports], indent=1))
        return
    if not reports:
        say(f"No training has been started yet. Start one: nnloop train {shlex.quote(project)}")
        return
    columns = ("Run", "Status", "Why", "Labels", "Preset", "Budget", "Trained", "Dice of folds")
    table = Table((*columns, "Started"))
    for run in reports:
        table.add(
            str(run.number),
            say_status(run),
            run.trigger,
            str(run.labels),
            run.preset,
            "" if run.budget_s is None else say_duration(run.budget_s),
            say_duration(run.seconds.get(RunStatus.TRAINING, 0.0)),
            _dice(run),
            ago(run.created_at),
        )
    table.print()
    if any(map(_dice, reports)):
        say(
            "Dice of folds: each on the cases it held out, mean of the classes, then of the folds, "
            "before postprocessing. The version's own: nnloop models list"
        )
    for run, older in zip(reports, [*reports[1:], None], strict=True):
        is_new = older is None or older.preset != run.preset
        if run.preset_reason and is_new:
            say(f"Run {run.number}: preset {with_reason(run.preset, run.preset_reason)}.")
        for text in filter(None, (run.error, run.note, run.waits_for)):
            say(f"Run {run.number}: {text}")


def pause(project: Project, data_dir: DataDir = None) -> None:
    """Make the active run stand still: its trainings end at their last epoch, wherever they run.

    Example: nnloop pause "Carotid"
    """
    from backend.pipeline.runs import control

    say(control.pause(*connected(project, data_dir)))


def resume(project: Project, data_dir: DataDir = None) -> None:
    """Let a paused run go on from where it was.

    Example: nnloop resume "Carotid"
    """
    from backend.pipeline.runs import control

    say(control.resume(*connected(project, data_dir)))


def cancel(project: Project, data_dir: DataDir = None) -> None:
    """End the active run and free its folders; the serving version stays.

    What works on it stops within seconds. A worker that was killed counts as at work for 20 s more,
    so long the run is being cancelled (nnloop status).

    Example: nnloop cancel "Carotid"
    """
    from backend.pipeline.runs import control

    say(control.cancel(*connected(project, data_dir)))


def say_status(run: RunReport) -> str:
    """A run's status with what a person wants of it."""
    words = {RunControl.PAUSE: "paused", RunControl.CANCEL: "being cancelled"}
    if run.status.is_final or run.control == RunControl.RUN:
        return str(run.status)
    return f"{words[run.control]} ({run.status})"


def _dice(run: RunReport) -> str:
    """The mean of its folds; of a sample of their cases until all are done."""
    known = [fold for fold in run.folds if fold.case_dice is not None]
    if not known:
        return ""
    mean = sum(fold.case_dice or 0.0 for fold in known) / len(known)
    is_whole = all(fold.status == FoldStatus.DONE for fold in run.folds)
    return f"{mean:.3f}" if is_whole else f"{mean:.3f} so far"

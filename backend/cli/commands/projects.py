"""connect and status: a project's place in the loop."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from backend.cli.duration import Budget, budget_override
from backend.cli.setting_options import (
    N_FOLDS,
    PREDICTIONS,
    PRESETS,
    START,
    TRAINING,
    TRUTH,
    VERSIONS,
    GpuMemory,
    Planner,
    Plans,
    Trainer,
    setting,
)
from backend.cli.shared import AsJson, DataDir, context
from backend.cli.views.sentences import say
from backend.cli.views.status_view import print_project, print_service
from backend.pipeline import status as reports
from backend.pipeline.basis.connected import find_connected
from backend.pipeline.connection.connect import connect as connect_project
from converters.exports.options import parse_spacing
from domain.text import counted

Project = Annotated[str, typer.Argument(help="Id or title of the Label Studio project.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("connect")(connect)
    app.command("status")(status)


def connect(
    project: Project,
    min_annotations: Annotated[
        int | None,
        setting("min_annotations", "Labelled tasks before the first training.", START),
    ] = None,
    retrain_after: Annotated[
        int | None,
        setting("retrain_after", "New or changed annotations before the next training.", START),
    ] = None,
    preset: Annotated[str | None, setting("preset", PRESETS, TRAINING)] = None,
    trainer: Trainer = None,
    planner: Planner = None,
    plans: Plans = None,
    gpu_memory: GpuMemory = None,
    folds: Annotated[
        int | None, setting("n_folds", N_FOLDS, TRAINING, empty="as the preset")
    ] = None,
    budget: Budget = None,
    warm_start: Annotated[
        bool | None,
        typer.Option(
            "--warm-start/--from-scratch",
            help="Start from the serving version. \\[default: warm-start]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[int | None, setting("seed", "Seed of the training.", TRAINING)] = None,
    gate_margin: Annotated[
        float | None,
        setting("gate_margin", "Loss of Dice that still counts as not worse.", VERSIONS),
    ] = None,
    keep_versions: Annotated[
        int | None, setting("keep_versions", "Versions whose weights are kept.", VERSIONS)
    ] = None,
    keep_bytes: Annotated[
        int | None,
        setting(
            "keep_bytes", "Bytes the kept versions may take in all.", VERSIONS, empty="no limit"
        ),
    ] = None,
    group_key: Annotated[
        str | None,
        setting(
            "group_key",
            "Task data field that names patient, video or site, or a part of the file name: "
            r"name:^(P\d+)_",
            TRUTH,
            empty="each task is a group",
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        setting(
            "channels",
            "Task data field of an image; repeat to stack several; '' for one.",
            TRUTH,
            empty="the image that is drawn on",
            metavar="FIELD",
        ),
    ] = None,
    annotator_policy: Annotated[
        str | None,
        setting(
            "annotator_policy", "latest, ground_truth_first, union, majority or staple.", TRUTH
        ),
    ] = None,
    label_priority: Annotated[
        list[str] | None,
        setting(
            "label_priority",
            "Label on top where regions overlap; repeat for the next; '' for none.",
            TRUTH,
            empty="later regions lie on top",
            metavar="LABEL",
        ),
    ] = None,
    keypoints: Annotated[str | None, setting("keypoints", "disc or leave_out.", TRUTH)] = None,
    line_width: Annotated[
        float | None, setting("line_width_px", "Width of open vectors, in pixels.", TRUTH)
    ] = None,
    pixel_spacing: Annotated[
        str | None,
        setting(
            "pixel_spacing_mm",
            "Size of a pixel in mm, for evaluations: 0.1, or vertical,horizontal.",
            TRUTH,
            empty="distances are in pixels",
        ),
    ] = None,
    min_region_area: Annotated[
        float | None,
        setting(
            "min_region_area_px", "Smaller predicted parts (pixels) are not pushed.", PREDICTIONS
        ),
    ] = None,
    polygon_overlap: Annotated[
        float | None,
        setting("polygon_overlap", "Overlap pushed polygons keep, 0.5 to 1.", PREDICTIONS),
    ] = None,
    vertex_budget: Annotated[
        int | None,
        setting(
            "vertex_budget", "Points of one pushed polygon, before it becomes a brush.", PREDICTIONS
        ),
    ] = None,
    mirror_predict: Annotated[
        bool | None,
        setting(
            "mirror_predict",
            "Average predictions over mirrored images: 4 times the work.",
            PREDICTIONS,
            "--mirror-predict/--no-mirror-predict",
            empty="as the preset",
        ),
    ] = None,
    tile_step: Annotated[
        float | None,
        setting(
            "tile_step",
            "Step of the sliding window as a fraction of the patch, in (0, 1].",
            PREDICTIONS,
            empty="as the preset",
        ),
    ] = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(
            help="Setting that goes back to its default, by its name in docs/settings.md: "
            "gpu_memory_gb; repeat for more.",
            metavar="SETTING",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Connect a project: ML backend, webhook, uncertainty sampling, Data Manager tab.

    `nnloop up` (or `serve`) must be running. Run it again to change settings or to repair: what is
    not given stays as it is. The defaults are those of a new project.

    Example: nnloop connect "Carotid" --min-annotations 12 --retrain-after 8

    Example: nnloop connect "Carotid" --reset n_folds --reset gpu_memory_gb
    """
    given: dict[str, Any] = {
        "min_annotations": min_annotations,
        "retrain_after": retrain_after,
        "preset": preset,
        "trainer": trainer,
        "planner": planner,
        "plans": plans,
        "gpu_memory_gb": gpu_memory,
        "n_folds": folds,
        "warm_start": warm_start,
        "gate_margin": gate_margin,
        "keep_versions": keep_versions,
        "keep_bytes": keep_bytes,
        "group_key": group_key,
        "channels": tuple(filter(None, channel)) if channel else None,
        "min_region_area_px": min_region_area,
        "polygon_overlap": polygon_overlap,
        "vertex_budget": vertex_budget,
        "annotator_policy": annotator_policy,
        "label_priority": tuple(filter(None, label_priority)) if label_priority else None,
        "keypoints": keypoints,
        "line_width_px": line_width,
        "mirror_predict": mirror_predict,
        "tile_step": tile_step,
        "pixel_spacing_mm": parse_spacing(pixel_spacing) if pixel_spacing else None,
        "seed": seed,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    overrides |= budget_override(budget)
    report = connect_project(context(data_dir), project, overrides, reset=reset or ())
    word = "Updated" if report.was_known else "Connected"
    say(f"project {report.project_id} {report.title!r}", lead=f"[green]{word}[/green]")
    for sentence in report.done:
        say(sentence)
    for sentence in report.warnings:
        say(sentence, lead="[yellow]Note:[/yellow]")
    say(f"Classes: {', '.join(report.classes)}")
    least, more = report.settings.min_annotations, report.settings.retrain_after
    say(
        f"Training starts at {counted(least, 'annotation')}, then after every "
        + ("new or changed one." if more == 1 else f"{more} new or changed ones.")
    )


def status(
    project: Annotated[
        str | None, typer.Argument(help="Id or title; without it: every project.")
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="List the problem of every task in full.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say what is labelled, what runs, what waits, what failed and why.

    Example: nnloop status "Carotid" --problems

    Example: nnloop status "Carotid" --json
    """
    opened = context(data_dir)
    service = reports.service_report(opened)
    if project is None:
        found = reports.all_reports(opened)
    else:
        found = [reports.project_report(opened, find_connected(opened, project))]
    if as_json:
        value = {
            "service": service.model_dump(mode="json"),
            "projects": [report.model_dump(mode="json") for report in found],
        }
        typer.echo(json.dumps(value, indent=1))
        return
    print_service(service)
    for report in found:
        print_project(report, lists_problems=problems)
    if not found:
        say("No project is connected. Connect one: nnloop connect PROJECT")

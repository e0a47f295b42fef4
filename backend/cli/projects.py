"""connect and status: a project's place in the loop."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from backend.cli.duration import Budget, budget_override
from backend.cli.shared import (
    AsJson,
    DataDir,
    GpuMemory,
    Planner,
    Plans,
    Trainer,
    console,
    context,
)
from backend.cli.status_view import print_project, print_service
from backend.pipeline import status as reports
from backend.pipeline.connect import connect as connect_project
from converters.exports.options import parse_spacing

Project = Annotated[str, typer.Argument(help="Id or title of the Label Studio project.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("connect")(connect)
    app.command("status")(status)


def connect(
    project: Project,
    min_annotations: Annotated[
        int | None, typer.Option(help="Labelled tasks before the first training.")
    ] = None,
    retrain_after: Annotated[
        int | None, typer.Option(help="New or changed annotations before the next training.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="auto, tiny, fast or full.")] = None,
    trainer: Trainer = None,
    planner: Planner = None,
    plans: Plans = None,
    gpu_memory: GpuMemory = None,
    folds: Annotated[int | None, typer.Option(help="Number of folds.")] = None,
    budget: Budget = None,
    warm_start: Annotated[
        bool | None,
        typer.Option("--warm-start/--from-scratch", help="Start from the serving version."),
    ] = None,
    gate_margin: Annotated[
        float | None, typer.Option(help="Loss of Dice that still counts as not worse.")
    ] = None,
    keep_versions: Annotated[
        int | None, typer.Option(help="Versions whose weights are kept.")
    ] = None,
    keep_bytes: Annotated[
        int | None, typer.Option(help="Bytes the kept versions may take in all.")
    ] = None,
    group_key: Annotated[
        str | None,
        typer.Option(
            help=r"Task data field that names patient, video or site, or a part of the file name: "
            r"name:^(P\d+)_"
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Task data field of an image; repeat to stack several; '' for one."),
    ] = None,
    min_region_area: Annotated[
        float | None, typer.Option(help="Smaller predicted parts (pixels) are not pushed.")
    ] = None,
    annotator_policy: Annotated[
        str | None,
        typer.Option(help="latest, ground_truth_first, union, majority or staple."),
    ] = None,
    label_priority: Annotated[
        list[str] | None,
        typer.Option(help="Label on top where regions overlap; repeat for the next; '' for none."),
    ] = None,
    keypoints: Annotated[str | None, typer.Option(help="disc or leave_out.")] = None,
    line_width: Annotated[
        float | None, typer.Option(help="Width of open vectors, in pixels.")
    ] = None,
    polygon_overlap: Annotated[
        float | None,
        typer.Option(help="Overlap pushed polygons keep, 0.5 to 1."),
    ] = None,
    vertex_budget: Annotated[
        int | None, typer.Option(help="Points of one pushed polygon, before it becomes a brush.")
    ] = None,
    mirror_predict: Annotated[
        bool | None,
        typer.Option(
            "--mirror-predict/--no-mirror-predict",
            help="Average predictions over mirrored images: 4 times the work.",
        ),
    ] = None,
    tile_step: Annotated[
        float | None,
        typer.Option(help="Step of the sliding window as a fraction of the patch, in (0, 1]."),
    ] = None,
    pixel_spacing: Annotated[
        str | None,
        typer.Option(help="Size of a pixel in mm, for evaluations: 0.1, or vertical,horizontal."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(
            help="Setting that goes back to its default, by its name in docs/settings.md: "
            "gpu_memory_gb; repeat for more."
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Connect a project: ML backend, webhook, uncertainty sampling, Data Manager tab.

    `nnloop up` (or `serve`) must be running. Run it again to change settings or to repair.

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
    console.print(f"[green]{word}[/green] project {report.project_id} {escape(repr(report.title))}")
    for sentence in report.done:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Classes: {', '.join(report.classes)}", markup=False)
    console.print(
        f"Training starts at {report.settings.min_annotations} annotations, then after every "
        f"{report.settings.retrain_after} new or changed ones."
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
        found = [reports.project_report(opened, reports.find_connected(opened, project))]
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
        console.print("No project is connected. Connect one: nnloop connect PROJECT")

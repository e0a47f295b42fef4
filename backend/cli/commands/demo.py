"""demo: the whole loop on generated images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.outputs import output_file, output_folder
from backend.cli.setting_options import values_of, with_settings
from backend.cli.shared import console
from backend.demo.options import DEFAULT_SEED, N_DEMO_IMAGES, REPORT_DIR, DemoOptions
from converters.bookkeeping.files import write_bytes
from domain.errors import StackError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


@with_settings(names=("budget_s",))
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the last version instead of serving.")
    ] = False,
    versions: Annotated[
        int, typer.Option(min=1, max=2, help="Versions to train; 1 leaves out the corrections.")
    ] = 2,
    json_file: Annotated[
        Path | None, output_file("--json", help="Write the figures as JSON to this file.")
    ] = None,
    picture: Annotated[
        Path | None, output_file(help="Write a PNG: truth, prediction and uncertainty.")
    ] = None,
    report: Annotated[
        Path, output_folder(help="Folder for report.html, the page on the demo's project.")
    ] = Path(REPORT_DIR),
    images: Annotated[
        int, typer.Option(min=24, max=1000, help="Images to generate.")
    ] = N_DEMO_IMAGES,
    seed: Annotated[int, typer.Option(help="Seed of images and annotator.")] = DEFAULT_SEED,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep everything in this folder; default: a temporary one, removed."),
    ] = None,
    **given: Any,
) -> None:
    """Show the whole loop: Label Studio, generated ultrasound, training, polygons back.

    Starts its own Label Studio unless LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY name one. A
    simulated annotator works through the tab that is their queue: labels 12 images, nnU-Net trains,
    8 more are corrected, those with the lowest scores first and some that chance drew, and a second
    version follows. A page on the project is written. Then it serves until Ctrl-C.

    Example: nnloop demo --once --json figures.json
    """
    from backend.demo.play import play
    from backend.demo.view import View

    # The demo's own folder: an installation's data and its running stack stay out of it.
    os.environ.pop("NNLOOP_DATA_DIR", None)
    options = DemoOptions(
        data_dir=data_dir,
        images=images,
        seed=seed,
        once=once,
        versions=versions,
        **values_of(given),
        picture=picture,
        report=report,
    )
    figures = play(options, View(console))
    if json_file is not None:
        write_bytes(json_file, (figures.model_dump_json(indent=1) + "\n").encode())
    if figures.leftover_processes:
        raise StackError(f"{figures.leftover_processes} processes are still running.")

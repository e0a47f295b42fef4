"""models: the versions of a project, by hand."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from backend.cli.commands import models_ensemble
from backend.cli.outputs import output_file
from backend.cli.shared import AsJson, DataDir, console, context, keep_private
from backend.cli.views.sentences import say
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext

ProjectOption = Annotated[
    str | None,
    typer.Option("--project", help="Id or title; needed where several projects are connected."),
]
Name = Annotated[str, typer.Argument(help="Name of the version, as in `nnloop models list`.")]

app = typer.Typer(
    name="models",
    help="List, compare, promote, roll back, prune, average, export and import versions.",
    no_args_is_help=True,
)


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    models_ensemble.register(app)
    parent.add_typer(app)


@app.command("list")
def list_(project: ProjectOption = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List a project's versions: status, labels, held-out Dice, size, age, the gate's verdict.

    Example: nnloop models list --project "Carotid"
    """
    from backend.cli.views.models_view import print_list
    from backend.pipeline.models.version_report import version_reports

    opened = context(data_dir)
    project_id = _the_project(opened, project)
    with opened.store.begin() as session:
        reports = version_reports(session, project_id)
    if as_json:
        _print_json([report.model_dump(mode="json") for report in reports])
        return
    if not reports:
        say("No version yet: the first training makes one (nnloop train), or nnloop models import.")
        return
    folder = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir is not None else ""
    print_list(reports, f"nnloop runs {project_id}{folder}")


@app.command()
def show(
    name: Name,
    project: ProjectOption = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Name every annotation, not only the first 20.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show everything about a version, down to the annotations it was trained on.

    Example: nnloop models show nnloop-v3 --annotations
    """
    from backend.cli.views.models_view import print_details
    from backend.pipeline.models.details import version_details

    opened = context(data_dir)
    details = version_details(opened, name, _project_id(opened, project))
    if as_json:
        _print_json(details.model_dump(mode="json"))
        return
    print_details(details, n_annotations=None if annotations else 20)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="The older version.")],
    second: Annotated[str, typer.Argument(help="The version to hold against it.")],
    project: ProjectOption = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Compare two versions per class on the cases both held out, with 95 % bounds.

    Example: nnloop models compare nnloop-v2 nnloop-v3
    """
    from backend.cli.views.models_view import print_comparison
    from backend.pipeline.models.side_by_side import compare_versions

    opened = context(data_dir)
    comparison = compare_versions(opened, first, second, _project_id(opened, project))
    if as_json:
        _print_json(asdict(comparison))
        return
    print_comparison(comparison)


@app.command()
def promote(
    name: Name, project: ProjectOption = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Put a version in service, whatever the gate said; its predictions replace the others.

    Example: nnloop models promote nnloop-v2
    """
    from backend.cli.views.models_view import print_change
    from backend.pipeline.models import serving

    opened = context(data_dir)
    change = serving.promote(opened, name, _project_id(opened, project))
    if as_json:
        _print_json(asdict(change))
        return
    print_change(change)


@app.command()
def rollback(
    name: Annotated[
        str | None, typer.Argument(help="Version to go back to; without it, the one before.")
    ] = None,
    project: ProjectOption = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Go back to the version that served before; the present one is marked rejected.

    Example: nnloop models rollback --project "Carotid"
    """
    from backend.cli.views.models_view import print_change
    from backend.pipeline.models import serving

    opened = context(data_dir)
    change = serving.rollback(opened, _project_of(opened, name, project), name)
    if as_json:
        _print_json(asdict(change))
        return
    print_change(change)


@app.command()
def pin(
    name: Name,
    off: Annotated[bool, typer.Option("--off", help="Let it be pruned again.")] = False,
    project: ProjectOption = None,
    data_dir: DataDir = None,
) -> None:
    """Keep a version from being pruned.

    Example: nnloop models pin nnloop-v3
    """
    from backend.pipeline.models import serving

    opened = context(data_dir)
    serving.pin(opened, name, _project_id(opened, project), is_pinned=not off)
    say(f"{name} " + ("may be pruned again." if off else "is kept."))


@app.command()
def prune(
    project: ProjectOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Free the weights of old versions and the checkpoints of finished runs.

    The settings keep_versions and keep_bytes say how many stay (`nnloop connect --keep-versions`);
    the serving version, the one before it and pinned ones always do. It also happens after every
    training.

    Example: nnloop models prune --dry-run
    """
    from backend.cli.views.models_view import size_text
    from backend.pipeline.gate import retention

    opened = context(data_dir)
    report = retention.prune(opened, _the_project(opened, project), dry_run=dry_run)
    if as_json:
        _print_json(asdict(report))
        return
    names = ", ".join(report.versions) or "no version"
    word = "Would prune" if dry_run else "Pruned"
    say(f"{word} {names}; {size_text(report.freed_bytes)}.")


@app.command()
def export(
    name: Name,
    out: Annotated[Path, output_file(help="The zip to write.")],
    project: ProjectOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="nnU-Net's name of the data set; without it, the project's id and title."
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Write a version as nnU-Net's own model zip.

    Example: nnloop models export nnloop-v3 --out carotid.zip --dataset Dataset501_Carotid
    """
    from backend.cli.views.models_view import size_text
    from backend.pipeline.models import archive

    opened = context(data_dir)
    written = archive.export_version(opened, name, out, _project_id(opened, project), dataset)
    if as_json:
        _print_json(
            {
                "path": str(written.path),
                "dataset": written.dataset_name,
                "models": [asdict(model) for model in written.models],
            }
        )
        return
    size = size_text(out.stat().st_size)
    say(f"is in {out} ({size}).", lead=f"[green]{escape(name)}[/green]")
    say(f"With {written.needs} installed elsewhere:")
    for command in written.commands:
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="nnU-Net's model zip.")],
    project: ProjectOption = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="theirs=ours for a class named otherwise; theirs= leaves it out."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the version.")] = None,
    model: Annotated[
        str | None, typer.Option(help="TRAINER__PLANS__CONFIGURATION, if the zip holds several.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Unpickle the checkpoints: runs any code in them.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a version of a model trained elsewhere; where none serves yet, it serves at once.

    Checkpoints are read without running code of theirs; one that would is refused, with the name
    of what it would call.

    Example: nnloop models import carotid.zip --project "Carotid" --map vessel=lumen
    """
    from backend.pipeline.models import archive
    from converters.classes.matching import parse_map

    keep_private(data_dir)
    opened = context(data_dir)
    project_id = _the_project(opened, project)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bars.add_task(escape(f"Reading {file.name}"), total=None)
        done = archive.import_model(
            opened,
            project_id,
            file,
            mapping=parse_map(map_ or ()),
            name=name,
            model=model,
            trust=trust,
        )
    if as_json:
        _print_json(asdict(done))
        return
    networks = counted(done.folds, "network")
    say(
        f"{networks} for {', '.join(done.class_values)}.",
        lead=f"[green]{escape(done.version)}[/green]:",
    )
    for note in done.notes:
        say(note)
    say(
        "It serves: its predictions follow; see `nnloop status`."
        if done.serves
        else f"It waits: put it in service with `nnloop models promote {done.version}`."
    )


def _the_project(opened: AppContext, project: str | None) -> int:
    from backend.pipeline.models.find import find_project

    return find_project(opened, project)


def _project_id(opened: AppContext, project: str | None) -> int | None:
    return None if project is None else _the_project(opened, project)


def _project_of(opened: AppContext, name: str | None, project: str | None) -> int:
    from backend.pipeline.models.find import find_version

    if name is None or project is not None:
        return _the_project(opened, project)
    with opened.store.begin() as session:
        return find_version(session, name).project_id


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))

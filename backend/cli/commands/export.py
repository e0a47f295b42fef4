"""export: annotations as files, from a project or from an export file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from backend.cli.commands.labels import pair
from backend.cli.export_source import export_file_of, folder_error, is_folder
from backend.cli.formats_help import FormatsCommand
from backend.cli.outputs import output_folder
from backend.cli.setting_options import values_of, with_settings
from backend.cli.shared import DataDir, Spacing, console, context, settings_of_project
from backend.cli.views.progress import progress
from backend.settings import ProjectSettings
from converters.painting.policies import POLICIES, AnnotatorPolicy
from domain.errors import SettingsError

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext
    from converters.exports.options import PolygonStyle


class _Export(FormatsCommand):
    registry = "converters.exports.formats"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export", cls=_Export)(export)


OF_PROJECT = (
    *("ignore_label", "background_label", "unlabelled", "unlabelled_choice"),
    *("unions", "union_order"),
)
"""Settings of a project that are options of an export; without them the project's own hold."""


@with_settings(names=OF_PROJECT, says_defaults=False)
def export(
    source: Annotated[
        str, typer.Argument(help="Id or title of a project, or an export file (.json).")
    ],
    out: Annotated[Path, output_folder(help="Folder to write to; made if missing.")],
    format_: Annotated[str, typer.Option("--format", help="The format.")] = "nnunet",
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, instead of Label Studio.")
    ] = None,
    label_config: Annotated[
        Path | None, typer.Option(help="Labelling configuration (XML) to go by.")
    ] = None,
    spacing: Spacing = None,
    annotators: Annotated[
        str | None,
        typer.Option(help=f"Which annotations make a mask: {', '.join(POLICIES)}."),
    ] = None,
    polygons: Annotated[
        str, typer.Option(help="COCO: exact (read back as equal masks) or drawn (as drawn).")
    ] = "exact",
    channel: Annotated[
        list[str] | None,
        typer.Option(
            help="Task data field of an image; repeat for several as channels (nnunet, "
            "nnunet-nifti, nifti). "
            "Without it the setting of a connected project holds."
        ),
    ] = None,
    model_version: Annotated[
        str | None, typer.Option(help="predictions: another version than the serving one.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="OLD=NEW: the label OLD is called NEW now; repeat for more. What `nnloop labels` "
            "knows of a connected project holds anyway.",
        ),
    ] = None,
    data_dir: DataDir = None,
    **given: Any,
) -> None:
    """Write the labelled tasks of a project, or of an export file without any server, as files.

    A second run into the same folder writes only what is new or changed. Ends with what was left
    out and why; report.json in the folder holds all of it.

    Example: nnloop export "Carotid" --format nnunet --out Dataset101_Carotid

    Example: nnloop export project.json --format coco --images scans --out coco
    """
    from backend.cli.files import print_report
    from backend.pipeline.basis.annotations import read_settings_of, sparse_rules_of
    from backend.pipeline.files.export import ExportRequest, export_file, export_project
    from converters.exports.formats import format_by_name
    from converters.exports.options import ExportOptions, parse_spacing
    from converters.label_studio.regions.read_settings import ReadSettings

    format_row = format_by_name(format_)
    if map_ and Path(source).suffix.lower() == ".json" and label_config is None:
        raise SettingsError(
            "--map of a file needs the labelling interface that the new names are of.",
            remedy="Give it with --label-config FILE.xml.",
        )
    if images is not None and not images.is_dir():
        raise SettingsError(f"There is no folder {images}.", remedy="Correct --images.")
    path = export_file_of(source)
    opened = None if path is not None else context(data_dir)
    project_id, total = (0, None) if opened is None else _find(opened, source)
    settings = ProjectSettings() if opened is None else settings_of_project(opened, project_id)
    values = values_of(given)
    if values.get("unions") and not format_row.knows_unions:
        raise SettingsError(
            f"--union says what nnU-Net learns, and {format_} holds the classes alone.",
            remedy="Leave it out, or choose the format nnunet or nnunet-nifti.",
        )
    settings = settings.model_copy(update=values)
    options = ExportOptions(
        spacing_mm=parse_spacing(spacing) if spacing is not None else settings.pixel_spacing_mm,
        polygons=_polygon_style(polygons),
        annotators=_policy(annotators) if annotators else settings.annotator_policy,
        reading=read_settings_of(settings) if opened else ReadSettings(),
    )
    with progress("Exporting", total, on=console) as on_task:
        request = ExportRequest(
            format_row,
            out,
            options,
            images,
            label_config,
            model_version,
            channels=tuple(channel) if channel else settings.channels,
            label_mapping=dict(pair("--map", text) for text in map_ or ()),
            sparse=sparse_rules_of(settings),
            unions=settings.unions,
            union_order=settings.union_order,
            on_task=on_task,
        )
        if path is not None:
            report = export_file(path, request)
        else:
            assert opened is not None  # noqa: S101 - one of the two is given
            report = export_project(opened, project_id, request)
    print_report(report, "task", out)


def _find(opened: AppContext, project: str) -> tuple[int, int]:
    try:
        info = opened.label_studio.find_project(project)
    except SettingsError:  # Label Studio is not set up: the folder is all that is there
        if is_folder(project):
            raise folder_error(project) from None
        raise
    return info.id, info.task_number


def _policy(name: str) -> AnnotatorPolicy:
    for policy in POLICIES:
        if policy == name:
            return policy
    raise SettingsError(
        f"--annotators is {name!r}.", remedy=f"Choose one of {', '.join(POLICIES)}."
    )


def _polygon_style(name: str) -> PolygonStyle:
    from converters.exports.options import PolygonStyle

    styles: tuple[PolygonStyle, ...] = get_args(PolygonStyle)
    for style in styles:
        if style == name:
            return style
    raise SettingsError(f"--polygons is {name!r}.", remedy="Choose exact or drawn.")

"""import: other tools' annotations into a project, or into a file for Label Studio."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from backend.cli.formats_help import FormatsCommand
from backend.cli.outputs import new_file, output_file
from backend.cli.shared import DataDir, console, context, settings_of_project
from backend.cli.views.progress import progress
from backend.cli.views.sentences import say
from converters.bookkeeping.files import write_bytes
from converters.imports.defaults import DEFAULT_VERSION
from domain.errors import NnloopError, SettingsError

if TYPE_CHECKING:
    from converters.imports.run import ImportJob
    from converters.imports.tasks import As


class _Import(FormatsCommand):
    registry = "converters.imports.formats"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import", cls=_Import)(import_)


def import_(
    source: Annotated[Path, typer.Argument(help="File or folder of annotations.")],
    format_: Annotated[str, typer.Option("--format", help="The format.")],
    project: Annotated[
        str | None, typer.Option(help="Id or title of the project to import into.")
    ] = None,
    out: Annotated[
        Path | None, output_file(help="Tasks file (.json) to write instead, without a server.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images; a project gets those it lacks.")
    ] = None,
    as_: Annotated[str, typer.Option("--as", help="annotations or predictions.")] = "annotations",
    as_predictions: Annotated[
        bool, typer.Option("--as-predictions", help="Short for --as predictions.")
    ] = False,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="CSV file (image,score) with the quality that is expected of each prediction, in "
            "[0, 1]: low is labelled first."
        ),
    ] = None,
    label_config: Annotated[
        Path | None,
        new_file(help="Labelling configuration (XML): read if there, written if not."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Names of the integers of masks (1, 2, ...) or YOLO (0, 1, ...): a,b."),
    ] = None,
    class_key: Annotated[
        str, typer.Option(help="via: the region attribute that holds the class.")
    ] = "",
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="theirs=ours, once per class with another name; theirs= leaves it out. Of colour "
            "masks a colour is a name: '#ff0000=lesion'.",
        ),
    ] = None,
    mask_name: Annotated[
        str, typer.Option(help="masks: how they are called after their image: '{name}_1stHO'.")
    ] = "",
    ignore_label: Annotated[
        str,
        typer.Option(
            help="masks: the label of pixels that they ignore (nnU-Net's ignore label); without it "
            "the project's own, else they are background, and that is said."
        ),
    ] = "",
    empty_as_negative: Annotated[
        bool,
        typer.Option(
            "--empty-as-negative",
            help="Submit an empty annotation (nothing is there) where the source has nothing.",
        ),
    ] = False,
    new: Annotated[
        bool,
        typer.Option(
            "--new",
            help="Make new tasks also of images that the project has already, but for those that "
            "an earlier import of this source made tasks of.",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Annotate also tasks that have an annotation, which stays beside it."
        ),
    ] = False,
    default_class: Annotated[
        str, typer.Option(help="Class of regions without one; otherwise they are left out.")
    ] = "",
    image_prefix: Annotated[
        str, typer.Option(help="Put before every image name to find its file.")
    ] = "",
    image_url: Annotated[
        str,
        typer.Option(
            help="Where Label Studio finds the images of a tasks file; put before their names: "
            "/data/local-files/?d=scans/, s3://bucket/, https://host/."
        ),
    ] = "",
    model_version: Annotated[
        str, typer.Option(help="Name of the version that predictions get.")
    ] = DEFAULT_VERSION,
    exact: Annotated[
        bool, typer.Option("--exact", help="Draw round masks exactly, with many more points.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Bring other tools' annotations into Label Studio, as annotations or predictions.

    Into a project (tasks that have the image get the annotation, other images are uploaded), or
    into a tasks file for its Import button. A second run does only what is new or changed. Ends
    with what was left out and why, and with code 1 when an image lost all its regions or nothing
    could be used.

    Example: nnloop import coco.json --format coco --images scans --project "Carotid"

    Example: nnloop import masks --format masks --as-predictions --model-version sam-2
    --scores scores.csv --project "Carotid"

    Example: nnloop import export.json --format label-studio --images scans --project "Carotid"

    Example: nnloop import via.json --format via --images scans --out tasks.json
    --image-url "/data/local-files/?d=scans/"
    """
    from backend.cli.files import print_report
    from backend.pipeline.files.attach import TaskChoice
    from backend.pipeline.files.export import read_label_config
    from backend.pipeline.files.import_ import import_to_project
    from converters.classes.matching import parse_map
    from converters.imports.find import ImageFinder
    from converters.imports.formats import format_by_name
    from converters.imports.run import ImportJob, looked_through, run_import_to_file
    from converters.imports.scores import read_scores
    from converters.imports.source import ImportOptions
    from converters.imports.tasks import LOST, colors_of, infer_classes, label_config_for
    from converters.label_studio.config.label_config import parse_label_config
    from converters.outlines.limits import Simplification

    format_row = format_by_name(format_)
    if (project is None) == (out is None):
        raise SettingsError(
            "Where to import is not clear.", remedy="Give either --project or --out."
        )
    if images is not None and not images.is_dir():
        raise SettingsError(f"There is no folder {images}.", remedy="Correct --images.")
    if label_config is not None and label_config.is_dir():
        raise SettingsError(
            f"{label_config} is a folder, and --label-config wants a file.",
            remedy="Give the labelling interface as an .xml file.",
        )
    names = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    mapping = {
        theirs.lower() if theirs[:1] == "#" else theirs: ours
        for theirs, ours in parse_map(map_ or ()).items()
    }
    if as_predictions:
        as_ = "predictions"
    if scores is not None and as_ != "predictions":
        raise SettingsError(
            "--scores says how good predictions are, and annotations are imported.",
            remedy="Add --as-predictions.",
        )
    if format_row.is_taken_over and project is None:
        raise SettingsError(
            "A tasks file of Label Studio's can be imported as it is; nothing was written.",
            remedy="Give --project, into which nnloop moves tasks, annotations and predictions.",
        )
    opened = context(data_dir) if project is not None else None
    info = None if opened is None else opened.label_studio.find_project(project or "")
    if opened is not None and info is not None and not ignore_label:
        ignore_label = settings_of_project(opened, info.id).ignore_label
    options = ImportOptions(
        names, class_key, default_class, mask_name, colors_of(mapping), ignore_label
    )
    config = None
    if info is not None:
        config = parse_label_config(info.label_config)
    elif label_config is not None and label_config.is_file():
        config = read_label_config(label_config)
    if config is not None:
        options = replace(options, colors=colors_of(mapping, config), image_key=config.image_key)
    else:
        wanted = infer_classes(format_row, source, options, mapping)
        config = parse_label_config(label_config_for(wanted))
        _say_config(config.xml, label_config)
    job = ImportJob(
        format_row,
        source,
        options,
        config,
        ImageFinder(images, image_prefix),
        _as(as_),
        model_version,
        image_url,
        Simplification(tolerance_px=0) if exact else Simplification(),
        mapping,
        empty_as_negative,
        read_scores(scores) if scores is not None else None,
    )
    with progress("Reading", None, on=console) as on_image:
        job = looked_through(job, on_image=on_image)
    with progress("Importing", None, on=console) as on_image:
        if opened is not None and info is not None:
            how = TaskChoice(new=new, again=again)
            report = import_to_project(opened, info.id, job, how, on_image=on_image)
            where = f"project {info.id} {info.title!r}"
        else:
            assert out is not None  # noqa: S101 - checked above
            report = run_import_to_file(job, out, on_image=on_image)
            where = str(out)
    print_report(report, "image", where)
    _say_unions(job, project)
    if LOST in report.left_out:
        raise typer.Exit(1)


def _say_config(xml: str, path: Path | None) -> None:
    if path is not None:
        write_bytes(path, (xml + "\n").encode())
        say(f"A labelling configuration that fits is in {path}.")
        return
    console.print("A labelling configuration that fits:")
    console.print(xml, markup=False, highlight=False, soft_wrap=True)


def _say_unions(job: ImportJob, project: str | None) -> None:
    """What nnU-Net's dataset.json says of unions of classes: they are a project's setting."""
    from backend.from_files.labels.said_unions import unions_of_masks
    from converters.imports.readers import masks
    from converters.masks.mask_folders import folder_of_masks

    if job.format_.name != masks.FORMAT.name:
        return
    folder = folder_of_masks(job.path)
    try:
        said = unions_of_masks(folder, job.options.classes, job.mapping, job.config.group)
    except NnloopError as error:
        say(error.in_full)
        return
    if said.unions:
        options = [f"--union {shlex.quote(text)}" for text in said.unions]
        options += [f"--order {shlex.quote(name)}" for name in said.order]
        say(
            "dataset.json says unions of classes. So that networks learn them: nnloop connect "
            f"{shlex.quote(project or 'PROJECT')} {' '.join(options)}"
        )


def _as(name: str) -> As:
    from converters.imports.tasks import As

    kinds: tuple[As, ...] = get_args(As)
    for kind in kinds:
        if kind == name:
            return kind
    raise SettingsError(f"--as is {name!r}.", remedy="Choose annotations or predictions.")

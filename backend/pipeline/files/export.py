"""Exports a project, or an export file without any server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backend.label_studio.tasks import plain_name
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import entry_of
from backend.pipeline.files.project_source import (
    ProjectImages,
    ProjectPredictions,
    ProjectTasks,
    ProjectTasksPredicted,
    in_labels_of_today,
)
from backend.store.models import ProjectRow
from converters.bookkeeping.files_report import FilesReport, Reasons
from converters.exports.exporter import Format, Needs
from converters.exports.file_source import ExportFile
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, Source, run_export
from converters.images.of_tasks import FolderImages, NoImages, TaskImages
from converters.label_studio.config.inferred_config import infer_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import (
    SparseRules,
    choice_controls,
    with_sparse_labels,
)
from converters.label_studio.region_types import region_type_by_name
from domain.errors import LabelConfigError, PredictionError, SettingsError
from domain.labels import LabelConfig, LabelNames
from domain.unions import union_plan


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to write where.

    ``images`` is a folder of images, None: from Label Studio if at all. ``channels`` names the task
    data fields of several images per task, empty for one. ``label_mapping`` is {old name of a
    label: its name now}, over those that a connected project knows. ``sparse`` says what is
    ignored. ``unions`` and ``union_order`` are the settings of classes that networks find together.
    """

    format_: Format
    out: Path
    options: ExportOptions
    images: Path | None = None
    label_config: Path | None = None
    model_version: str | None = None
    channels: tuple[str, ...] = ()
    label_mapping: Mapping[str, str] = field(default_factory=dict)
    sparse: SparseRules = field(default_factory=SparseRules)
    unions: tuple[str, ...] = ()
    union_order: tuple[str, ...] = ()
    on_task: Callable[[], None] = lambda: None


def export_project(context: AppContext, project_id: int, request: ExportRequest) -> FilesReport:
    """Exports a project's tasks as Label Studio holds them now; it need not be connected.

    Raises:
        LabelConfigError: The labelling interface has no control nnloop can use.
        LabelStudioError: Label Studio refused or did not answer.
        PredictionError: Predictions are asked for and there is no serving version.
        SettingsError: A union of classes names none of the interface.
        StackError: The folder can't be written.
    """
    client = context.label_studio
    xml = client.project(project_id).label_config
    config = _given_config(request) or parse_label_config(xml, channels=request.channels)
    with context.store.read() as session:
        project = session.get(ProjectRow, project_id)
        known = project.label_mapping if project else {}
    config = _renamed(config, known, request)
    tasks = ProjectTasks(context, project_id)
    source: Source = tasks
    remarks: tuple[str, ...] = ()
    if request.format_.needs is Needs.PREDICTIONS:
        stored = ProjectPredictions(context, project_id, request.model_version)
        source = in_labels_of_today(stored, config)
    elif request.format_.takes_predictions:
        try:
            stored = ProjectPredictions(context, project_id, request.model_version)
        except PredictionError:
            remarks = ("No version serves yet: there are pictures of labelled tasks alone.",)
        else:
            source = ProjectTasksPredicted(tasks, in_labels_of_today(stored, config))
    images: TaskImages = ProjectImages(client, config.image_keys)
    if request.images is not None:
        images = FolderImages(request.images, config.image_keys, plain_name)
    return _run(source, config, images, request, remarks)


def export_file(path: Path, request: ExportRequest) -> FilesReport:
    """Exports the tasks of an export file (JSON, JSON_MIN); no server is asked.

    Without a labelling configuration the classes are inferred from the regions, in order of
    appearance, and the report says so.

    Raises:
        FileFormatError: The file is no export of Label Studio.
        LabelConfigError: The configuration can't be used, or can't be inferred.
        SettingsError: A union of classes names none of the interface.
        StackError: The folder can't be written.
    """
    source = ExportFile(path, request.model_version)
    remarks: tuple[str, ...] = ()
    config = _given_config(request)
    if config is None and request.format_.needs is not Needs.PREDICTIONS:
        reasons = Reasons()
        xml = infer_label_config(
            source.tasks(reasons.add), reasons, has_channels=bool(request.channels)
        )
        config = parse_label_config(xml, channels=request.channels)
        remarks = (_inferred(_renamed(config, {}, request)),)
    if request.format_.needs is not Needs.PREDICTIONS and source.is_min():
        remarks = (*remarks, _NO_ORIGIN)
    config = parse_label_config(_ANY_CONFIG) if config is None else _renamed(config, {}, request)
    source = ExportFile(path, request.model_version, choice_controls(config))
    images: TaskImages = NoImages()
    if request.images is not None:
        images = FolderImages(request.images, config.image_keys, plain_name)
    return _run(source, config, images, request, remarks)


def _inferred(config: LabelConfig) -> str:
    """What to say of an interface that nobody gave."""
    names = [f"{c.index} = {c.value}" for c in config.group.classes]
    if config.group.has_ignore:
        names.append(f"{config.group.ignore_index} = ignored")
    return (
        "The classes were inferred from the regions, in order of appearance: "
        f"{', '.join(names)}. --label-config FILE.xml gives them the project's order and colours."
    )


_NO_ORIGIN = (
    "JSON_MIN does not say which regions a person changed: all count alike, later regions lie over "
    "earlier ones. Exported as JSON, corrections lie over what was left as predicted."
)
_ANY_CONFIG = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="any"/></PolygonLabels></View>'
)
"""For predictions, which are written as they are."""


def _renamed(config: LabelConfig, known: Mapping[str, str], request: ExportRequest) -> LabelConfig:
    """The interface, its classes answering to former names, and what is none set apart."""
    given = request.label_mapping
    names = LabelNames({**known, **given}, config.class_values)
    lost = next((new for old, new in given.items() if names.now(old) not in names.present), "")
    if lost:
        raise SettingsError(
            f'--map names "{lost}", which is no label of the interface.',
            remedy=f"Its labels are {', '.join(config.class_values)}; --label-config FILE.xml "
            "gives another interface.",
        )
    return with_sparse_labels(names.applied_to(config), request.sparse)


def _given_config(request: ExportRequest) -> LabelConfig | None:
    if request.label_config is None:
        return None
    return read_label_config(request.label_config, request.channels)


def read_label_config(path: Path, channels: Sequence[str] = ()) -> LabelConfig:
    """The labelling configuration in a file; LabelConfigError when it can't be read."""
    try:
        xml = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelConfigError(
            f"The labelling configuration {path} can't be read: {error}.",
            remedy="Save the project's Labeling Interface code as UTF-8 in that file.",
        ) from error
    try:
        return parse_label_config(xml, channels=channels)
    except LabelConfigError as error:
        raise LabelConfigError(f"{path.name}: {error}", remedy=error.remedy) from error


def _run(
    source: Source,
    config: LabelConfig,
    images: TaskImages,
    request: ExportRequest,
    remarks: tuple[str, ...],
) -> FilesReport:
    options = request.options
    if request.format_.knows_unions:
        plan = union_plan(config.group, request.unions, request.union_order)
        options = replace(options, unions=plan)
    job = ExportJob(
        request.format_,
        config,
        options,
        images,
        (*remarks, *_remarks(config, images, request)),
    )
    return run_export(source, job, request.out, on_task=request.on_task, fault_of=entry_of)


def _remarks(config: LabelConfig, images: TaskImages, request: ExportRequest) -> tuple[str, ...]:
    """Sentences about what every task's files are."""
    found = []
    if request.format_.needs is Needs.PIXELS_IF_THERE and isinstance(images, NoImages):
        found.append("No images are written: --images names the folder of them.")
    kinds = [region_type_by_name(control.region_type) for control in config.group.controls]
    has_lines = any(kind is not None and kind.kind == "vector" for kind in kinds)
    if has_lines and request.format_.needs is not Needs.PREDICTIONS:
        width = request.options.reading.line_width_px
        found.append(f"An open line is written as the thin region it paints, {width:g} px wide.")
    return tuple(found)

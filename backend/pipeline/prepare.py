"""From the snapshot to 'ready to train': manifest, label maps, cases, nnU-Net's data set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass

from backend.pipeline.annotations import label_map_of, read_settings_of
from backend.pipeline.context import AppContext
from backend.pipeline.images import image_uri, load_image
from backend.settings import ProjectSettings
from backend.store import cases as case_store
from backend.store import projects, snapshots
from backend.store.models import AnnotationRow, CaseRow, FoldRow, ProjectRow, RunRow, TaskRow
from converters.label_config import parse_label_config
from domain.annotation import LeftOut
from domain.case import Manifest, ManifestEntry, case_id_of_task, content_hash
from domain.errors import NotEnoughCasesError, TaskError
from domain.labels import LabelConfig
from training.cases import CaseFiles, write_case
from training.devices import list_devices
from training.nnunet.dataset import prepare
from training.presets import Preset, choose_preset, preset_by_name
from training.splits import assign_folds, usable_folds

logger = logging.getLogger(__name__)

Beat = Callable[[], None]


class _ColorFound(Exception):  # noqa: N818 - a signal, not an error
    """A colour image turned up in a project that was grey so far."""


@dataclass(frozen=True)
class _Source:
    """A labelled task with the annotations that count, oldest first."""

    task: TaskRow
    annotations: tuple[AnnotationRow, ...]

    @property
    def content_hash(self) -> str:
        """Of all its annotations."""
        return snapshots.hash_of(self.annotations)


def preset_of(settings: ProjectSettings) -> Preset:
    """The preset a project trains with; 'auto' looks at the devices of this machine."""
    if settings.preset == "auto":
        return choose_preset(sum(device.is_gpu for device in list_devices()))
    return preset_by_name(settings.preset)


def prepare_run(context: AppContext, run_id: int, beat: Beat) -> None:
    """Writes the run's cases and data set, stores its manifest and its folds.

    Tasks that can't be used are left out, each with a problem that names it; the run goes on while
    enough remain. Raises NotEnoughCasesError, LabelConfigError, TrainingError.
    """
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        project = projects.get(session, run.project_id)
        settings = ProjectSettings.model_validate(run.settings)
        sources = [
            _Source(task, annotations)
            for task, annotations in snapshots.chosen_annotations(
                session, run.project_id, settings.annotator_policy
            )
        ]
        skipped = snapshots.skipped_tasks(session, run.project_id)
    preset = preset_of(settings)
    config = parse_label_config(project.label_config)
    try:
        n_channels = project.n_channels or 1
        files, left_out = _write_cases(
            context, project, config, sources, settings, n_channels, beat
        )
    except _ColorFound:
        n_channels = 3
        with context.store.begin() as session:
            # Kept at once: a run that is cut off from here on must not begin in grey again.
            projects.get(session, run.project_id).n_channels = n_channels
        files, left_out = _write_cases(
            context, project, config, sources, settings, n_channels, beat
        )
    left_out.extend(
        LeftOut(task_id, "skipped", f"Task {task_id} was skipped by its annotator.")
        for task_id in skipped
    )
    _report(context, run, left_out)
    used = [source for source in sources if case_id_of_task(source.task.id) in files]
    if len(used) < 2:
        raise NotEnoughCasesError(
            f"Only {len(used)} of {len(sources)} labelled tasks can be trained on"
            + (f" ({left_out[0].message})" if left_out else "")
            + ".",
            remedy="Label more tasks; `nnloop status` names those that were left out and why.",
        )
    manifest = _manifest(context, run, config, used, left_out, settings, preset)
    prepared = prepare(
        context.workspace(run.project_id),
        list(files.values()),
        {entry.case_id: entry.fold for entry in manifest.entries},
        class_values=config.class_values,
        n_channels=n_channels,
        preset=preset,
    )
    with context.store.begin() as session:
        row = session.get_one(RunRow, run_id)
        row.manifest = {**manifest.to_json(), "n_channels": n_channels, "preset": preset.name}
        projects.get(session, run.project_id).n_channels = n_channels
        present = {f.fold for f in session.query(FoldRow).filter_by(run_id=run_id)}
        for fold in prepared.folds:
            if fold not in present:
                session.add(FoldRow(run_id=run_id, fold=fold, epochs=preset.epochs))
    logger.info(
        "Run %d: %d cases, %d of them new or changed, %d left out, %d folds, %.1f s.",
        run_id,
        prepared.n_cases,
        len(prepared.preprocessed),
        len(left_out),
        len(prepared.folds),
        prepared.seconds,
    )


def _write_cases(
    context: AppContext,
    project: ProjectRow,
    config: LabelConfig,
    sources: list[_Source],
    settings: ProjectSettings,
    n_channels: int,
    beat: Beat,
) -> tuple[dict[str, CaseFiles], list[LeftOut]]:
    workspace = context.workspace(project.id)
    with context.store.begin() as session:
        known = case_store.cases_of(session, project.id)
    files: dict[str, CaseFiles] = {}
    left_out: list[LeftOut] = []
    for source in sources:
        beat()
        case_id = case_id_of_task(source.task.id)
        try:
            source_hash = _source_hash(source, config, settings, n_channels)
            row = known.get(case_id)
            image_png, label_png = workspace.image_png(case_id), workspace.label_png(case_id)
            if (
                row is not None
                and row.source_hash == source_hash
                and image_png.exists()
                and label_png.exists()
            ):
                files[case_id] = CaseFiles(case_id, image_png, label_png, row.files_hash)
                left_out.extend(LeftOut(**note) for note in row.notes)
                continue
            image = load_image(context.label_studio, source.task, config)
            if image.ndim == 3 and n_channels == 1:
                raise _ColorFound
            size_hw = (int(image.shape[0]), int(image.shape[1]))
            label_map, regions_left_out = label_map_of(
                source.annotations, config, size_hw, settings
            )
            left_out.extend(regions_left_out)
            written = write_case(workspace, case_id, image, label_map, n_channels=n_channels)
        except TaskError as error:
            left_out.append(LeftOut(error.task_id, error.reason, f"{error} {error.remedy}".strip()))
            continue
        files[case_id] = written
        with context.store.begin() as session:
            case_store.save(
                session,
                CaseRow(
                    project_id=project.id,
                    case_id=case_id,
                    task_id=source.task.id,
                    source_hash=source_hash,
                    files_hash=written.content_hash,
                    notes=[asdict(note) for note in regions_left_out],
                ),
            )
    return files, left_out


def _source_hash(
    source: _Source, config: LabelConfig, settings: ProjectSettings, n_channels: int
) -> str:
    return content_hash(
        [
            source.content_hash,
            image_uri(source.task, config),
            [control.name for control in config.group.controls],
            list(config.class_values),
            settings.annotator_policy,
            astuple(read_settings_of(settings)),
            n_channels,
        ]
    )


def _manifest(
    context: AppContext,
    run: RunRow,
    config: LabelConfig,
    used: list[_Source],
    left_out: list[LeftOut],
    settings: ProjectSettings,
    preset: Preset,
) -> Manifest:
    groups = {source.task.id: _group_of(source.task, settings.group_key) for source in used}
    n_folds = usable_folds(len(set(groups.values())), settings.n_folds or preset.n_folds)
    with context.store.begin() as session:
        known = case_store.folds_of_groups(session, run.project_id, n_folds)
        folds = assign_folds(known, groups.values(), n_folds)
        case_store.add_groups(session, run.project_id, n_folds, folds, known)
    return Manifest(
        entries=tuple(
            ManifestEntry(
                case_id=case_id_of_task(source.task.id),
                task_id=source.task.id,
                annotation_id=source.annotations[-1].id,
                annotation_ids=tuple(annotation.id for annotation in source.annotations),
                content_hash=source.content_hash,
                group=groups[source.task.id],
                fold=folds[groups[source.task.id]],
            )
            for source in used
        ),
        left_out=tuple(left_out),
        class_values=config.class_values,
        n_folds=n_folds,
    )


def _group_of(task: TaskRow, group_key: str | None) -> str:
    # A task without the field is a group of its own, as if no key were set.
    value = task.data.get(group_key) if group_key else None
    return str(value)[:255] if value not in (None, "") else case_id_of_task(task.id)


def _report(context: AppContext, run: RunRow, left_out: list[LeftOut]) -> None:
    with context.store.begin() as session:
        projects.resolve_problems(session, run.project_id, "prepare")
        for item in left_out:
            if item.reason != "skipped":
                projects.report_problem(
                    session,
                    run.project_id,
                    "prepare",
                    item.reason,
                    item.message,
                    task_id=item.task_id,
                    run_id=run.id,
                )

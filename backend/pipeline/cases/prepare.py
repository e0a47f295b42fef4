"""From the snapshot to 'ready to train': manifest, label maps, cases, nnU-Net's data set."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.preset import preset_of
from backend.pipeline.cases.manifests import keep_folds, make_manifest
from backend.pipeline.cases.write import Source, write_cases
from backend.pipeline.labels.questions import ask
from backend.settings import ProjectSettings, RunSettings
from backend.store import projects, snapshots
from backend.store.models import FoldRow, ProjectRow, RunRow
from domain.annotation import AnnotatedTask, LeftOut
from domain.case import Manifest
from domain.errors import CaseError, NotEnoughCasesError, TrainingError
from domain.text import one_line
from training.case_files import CaseFiles
from training.nnunet.classes import trainer_class
from training.nnunet.data.dataset import PreparedDataset, prepare
from training.presets import Preset
from training.versions.manifests import RunManifest

logger = logging.getLogger(__name__)

STAGE = "prepare"
"""Of the problems reported here."""


def prepare_run(context: AppContext, run_id: int, beat: Beat) -> None:
    """Writes the run's cases and data set, stores its manifest and its folds.

    Tasks that can't be used are left out, each with a problem that names it; the run goes on while
    enough remain. Raises NotEnoughCasesError, LabelConfigError, TrainingError.
    """
    with context.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        project = projects.get(session, run.project_id)
        settings = run.settings
        sources = [
            Source(task, annotations)
            for task, annotations in snapshots.chosen_annotations(
                session, run.project_id, settings.annotator_policy, results=False
            )
        ]
        skipped = snapshots.skipped_tasks(session, run.project_id)
        # A run that waited or was tried again reads what has been annotated meanwhile: that is not
        # news to the next one.
        run.candidates = {
            source.task.id: AnnotatedTask(
                source.annotations[-1].id, source.content_hash, source.task.source
            )
            for source in sources
        }
    preset = preset_of(settings)
    trainer_class(preset.trainer)  # one that can't be imported is told of now, not by every fold
    config = label_config_of(project, settings)
    written = write_cases(context, project, config, sources, settings, beat)
    left_out = written.left_out + [
        LeftOut(task_id, "skipped", f"Task {task_id} was skipped by its annotator.")
        for task_id in skipped
    ]
    used = [source for source in sources if source.case_id in written.files]
    while True:
        try:
            _require_enough(context, project, used, len(sources), left_out, settings)
            manifest = make_manifest(context, config, used, left_out, settings, preset)
        except TrainingError:
            _report(context, run, left_out)
            raise
        _report(context, run, manifest.left_out)
        files = [written.files[source.case_id] for source in used]
        try:
            prepared = _prepare(
                context, project, files, manifest, written.n_channels, settings, preset, beat
            )
            break
        except CaseError as error:
            left_out += _faults(used, error)
            used = [source for source in used if source.case_id not in error.faults]
    _keep(context, run_id, manifest, prepared, written.n_channels, preset, project.label_mapping)
    logger.info(
        "Run %d: %d cases, %d of them new or changed, %d left out, %d folds, %.1f s.",
        run_id,
        prepared.n_cases,
        len(prepared.preprocessed),
        len(manifest.left_out),
        len(prepared.folds),
        prepared.seconds,
    )


def _prepare(
    context: AppContext,
    project: ProjectRow,
    files: Sequence[CaseFiles],
    manifest: Manifest,
    n_channels: int,
    settings: RunSettings,
    preset: Preset,
    beat: Beat,
) -> PreparedDataset:
    return prepare(
        context.workspace(project.id),
        files,
        {entry.case_id: entry.fold for entry in manifest.entries},
        class_values=manifest.class_values,
        n_channels=n_channels,
        preset=preset,
        channels=settings.channels,
        replan=settings.replan,
        beat=beat,
    )


def _require_enough(
    context: AppContext,
    project: ProjectRow,
    used: Sequence[Source],
    labelled: int,
    left_out: Sequence[LeftOut],
    settings: ProjectSettings,
) -> None:
    # One is enough for who asked for it; otherwise all but one being unusable is a fault to mend.
    if len(used) >= min(2, settings.min_annotations):
        return
    with context.store.begin() as session:
        asked = ask(session, project) if _has_unknown_labels(left_out) else ()
    renamed = [question.cause for question in asked if question.came]
    why = f": {' '.join(renamed)}" if renamed else "."
    if not renamed and left_out:
        why = f" ({left_out[0].message})."
    raise NotEnoughCasesError(
        f"Only {len(used)} of {labelled} labelled tasks can be trained on{why}",
        remedy=" ".join(question.remedy for question in asked)
        or "Label more tasks; `nnloop status` names those that were left out and why.",
    )


def _has_unknown_labels(left_out: Sequence[LeftOut]) -> bool:
    return any(item.reason == "unknown_label" for item in left_out)


def _faults(used: Sequence[Source], error: CaseError) -> list[LeftOut]:
    return [
        LeftOut(
            source.task.id,
            "unusable_case",
            f"Task {source.task.id}: {one_line(error.faults[source.case_id])}",
            remedy=error.remedy,
        )
        for source in used
        if source.case_id in error.faults
    ]


def _keep(
    context: AppContext,
    run_id: int,
    manifest: Manifest,
    prepared: PreparedDataset,
    n_channels: int,
    preset: Preset,
    label_mapping: dict[str, str],
) -> None:
    with context.store.begin() as session:
        row = session.get_one(RunRow, run_id)
        row.manifest = RunManifest(
            entries=manifest.entries,
            left_out=manifest.left_out,
            class_values=manifest.class_values,
            n_folds=manifest.n_folds,
            n_channels=n_channels,
            label_mapping=label_mapping,
            preset=preset,
            replanned=prepared.replanned,
        )
        projects.get(session, row.project_id).n_channels = n_channels
        keep_folds(session, row.project_id, manifest)
        present = {f.fold for f in session.query(FoldRow).filter_by(run_id=run_id)}
        for fold in prepared.folds:
            if fold not in present:
                session.add(FoldRow(run_id=run_id, fold=fold, epochs=preset.epochs))


def _report(context: AppContext, run: RunRow, left_out: Sequence[LeftOut]) -> None:
    problems = [item for item in left_out if item.reason != "skipped"]
    with context.store.begin() as session:
        projects.replace_problems(session, run.project_id, STAGE, run.id, problems)

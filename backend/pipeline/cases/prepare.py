"""From the snapshot to 'ready to train': manifest, label maps, cases, nnU-Net's data set."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.preset import preset_of, training_devices
from backend.pipeline.basis.warm_predictor import prediction_device
from backend.pipeline.cases.alike import fault_of as fault_of_alike
from backend.pipeline.cases.alike import parted
from backend.pipeline.cases.compare import find_sets
from backend.pipeline.cases.manifests import keep_folds, make_manifest
from backend.pipeline.cases.symmetries import decide_symmetries
from backend.pipeline.cases.write import CaseWriter, Source, WrittenCases
from backend.pipeline.labels.questions import Question, report_questions
from backend.settings import RunSettings
from backend.store import projects
from backend.store.models import FoldRow, ProjectRow, RunRow
from backend.store.tasks import snapshots
from backend.store.training import runs
from backend.store.training.cases import sets_of_alike
from domain.annotation import LeftOut
from domain.case import Manifest
from domain.errors import CaseError, NotEnoughCasesError, TrainingError
from domain.labels import LabelConfig
from domain.text import one_line
from domain.unions import UnionPlan, union_plan
from training.nnunet.classes import trainer_class
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.nnunet.inference.trial import try_fresh_network
from training.presets import Preset, PresetChoice
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
            source.task.id: snapshots.annotated(source.annotations, source.task.source)
            for source in sources
        }
        former = runs.last_automatic_preset(session, run.project_id)
    choice = preset_of(settings, training_devices(context), former)
    # One that can't be imported is told of now, not by every fold.
    trainer_class(choice.preset.trainer)
    config = label_config_of(project, settings)
    unions = union_plan(config.group, settings.unions, settings.union_order)
    written = CaseWriter(context, project, config, settings, beat).write(sources)
    written.left_out.extend(
        LeftOut(task_id, "skipped", f"Task {task_id} was skipped by its annotator.")
        for task_id in skipped
    )
    find_sets(context, run.project_id, beat)
    preparation = _Preparation(context, run, project, settings, choice, config, written, unions)
    manifest, prepared = preparation.make_dataset(sources, beat)
    # A network that could not serve is told of before hours of training, not after.
    try_fresh_network(
        context.workspace(run.project_id),
        manifest.entries[0].case_id,
        choice.preset,
        prediction_device(),
    )
    preparation.keep(manifest, prepared, beat)
    logger.info(
        "Run %d: %d cases, %d of them new or changed, %d left out, %d folds, %.1f s.",
        run.number,
        prepared.n_cases,
        len(prepared.preprocessed),
        len({item.task_id for item in manifest.left_out if item.is_whole_task}),
        len(prepared.folds),
        prepared.seconds,
    )


@dataclass(frozen=True, slots=True)
class _Preparation:
    """A run on its way from written cases to a data set; what is left out grows on the way."""

    context: AppContext
    run: RunRow
    project: ProjectRow
    settings: RunSettings
    choice: PresetChoice
    config: LabelConfig
    written: WrittenCases
    unions: UnionPlan | None

    @property
    def preset(self) -> Preset:
        return self.choice.preset

    def make_dataset(
        self, sources: Sequence[Source], beat: Beat
    ) -> tuple[Manifest, PreparedDataset]:
        """Leaves out what can't be trained on, until the rest can be."""
        left_out = self.written.left_out
        used = [source for source in sources if source.case_id in self.written.files]
        while True:
            try:
                self._require_enough(used, len(sources))
                manifest = make_manifest(
                    self.context, self.config, used, left_out, self.settings, self.preset
                )
            except TrainingError:
                self._report(left_out)
                raise
            self._report(manifest.left_out)
            try:
                return manifest, self._prepare(manifest, used, beat)
            except CaseError as error:
                left_out.extend(_faults(used, error))
                used = [source for source in used if source.case_id not in error.faults]

    def _prepare(self, manifest: Manifest, used: Sequence[Source], beat: Beat) -> PreparedDataset:
        return prepare(
            self.context.workspace(self.project.id),
            [self.written.files[source.case_id] for source in used],
            {entry.case_id: entry.fold for entry in manifest.entries},
            DatasetSpec(
                manifest.class_values,
                self.written.n_channels,
                self.preset,
                self.settings.channels,
                self.config.group.has_ignore,
                self.unions,
            ),
            replan=self.settings.replan,
            beat=beat,
        )

    def _require_enough(self, used: Sequence[Source], labelled: int) -> None:
        # One is enough for who asked for it; otherwise all but one being unusable is a fault to
        # mend.
        if len(used) >= min(2, self.settings.min_annotations):
            return
        left_out = self.written.left_out
        questions: Sequence[Question] = ()
        if any(item.reason == "unknown_label" for item in left_out):
            with self.context.store.begin() as session:
                questions = report_questions(session, self.project)
        renamed = [question.cause for question in questions if question.came]
        why = f": {' '.join(renamed)}" if renamed else "."
        if not renamed and left_out:
            why = f" ({left_out[0].message})."
        of_files = self.context.is_of_files
        raise NotEnoughCasesError(
            f"Only {len(used)} of {labelled} labelled {'images' if of_files else 'tasks'} can be "
            f"trained on{why}",
            remedy=" ".join(question.remedy for question in questions)
            or (
                "left_out.csv names those that were left out and why."
                if of_files
                else "Label more tasks; `nnloop status` names those that were left out and why."
            ),
        )

    def _report(self, left_out: Sequence[LeftOut]) -> None:
        problems = [item for item in left_out if item.reason != "skipped"]
        with self.context.store.begin() as session:
            projects.replace_problems(session, self.project.id, STAGE, self.run.id, problems)

    def keep(self, manifest: Manifest, prepared: PreparedDataset, beat: Beat) -> None:
        """Stores the manifest, and the folds that are to be trained."""
        symmetries = decide_symmetries(
            self.context.workspace(self.project.id), manifest, self.settings.mirror_train, beat
        )
        if self.unions is not None:
            symmetries = symmetries.without_swaps()
        for reason in symmetries.reasons:
            logger.info("Run %d: %s", self.run.number, reason)
        with self.context.store.begin() as session:
            row = session.get_one(RunRow, self.run.id)
            row.manifest = RunManifest(
                entries=manifest.entries,
                left_out=manifest.left_out,
                class_values=manifest.class_values,
                n_folds=manifest.n_folds,
                n_channels=self.written.n_channels,
                label_mapping=self.project.label_mapping,
                preset=self.preset,
                preset_reason=self.choice.reason,
                replanned=prepared.replanned,
                symmetries=symmetries,
                group_key=manifest.group_key,
                joined_groups=manifest.joined_groups,
            )
            projects.get(session, row.project_id).n_channels = self.written.n_channels
            keep_folds(session, row.project_id, manifest)
            apart = parted(manifest.entries, sets_of_alike(session, row.project_id))
            if fault := fault_of_alike(apart, shlex.quote(self.project.title)):
                projects.report_problem(session, row.project_id, STAGE, fault, run_id=row.id)
            present = {fold.fold for fold in runs.folds_of(session, row.id)}
            for fold in prepared.folds:
                if fold not in present:
                    session.add(FoldRow(run_id=row.id, fold=fold, epochs=self.preset.epochs))


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

"""What the newest checkpoints of a run say at this moment, beside the truth of held-out cases."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.images import load_image
from backend.pipeline.evaluate.chosen_cases import EvaluationCase
from backend.pipeline.evaluate.reference_files import (
    CommonClasses,
    ReferenceWriter,
    common_classes,
)
from backend.pipeline.labels.of_version import without
from backend.report.steps import OnStep, tell_nobody
from backend.report.watching.shown_cases import (
    ShownCase,
    held_out_cases,
    named_task,
    not_shown,
)
from backend.report.watching.watched import WatchedRun, find_run, reused_since, why_nothing
from converters.images.image_pixels import write_png
from converters.pictures.beside_reference import comparison
from converters.pictures.panels import RgbImage
from converters.pictures.preview import predictions_alone, stacked
from domain.errors import NnloopError, TrainingError
from domain.labels import LabelConfig
from domain.states import FoldStatus, RunStatus
from domain.text import one_line
from training.case_files import read_image, write_case
from training.evaluation import ClassDice, image_dice, named_dice
from training.versions.fold_previews import (
    CaseToPreview,
    FoldToPreview,
    PreviewedFold,
    checkpoints_of,
    preview_folds,
)
from training.workspace import Workspace

_READING, _PREDICTING = "Reading images", "Predicting with the newest checkpoints"


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    """What is to be shown.

    Attributes:
        number: Of the run; None: the newest.
        folds: Which; () = all.
        task: A task's id or the name of its image; None: held-out cases of each fold.
        n_cases: Of each fold; None: a few in all.
        device: ``cpu``, ``cuda:<i>`` or ``mps``.
    """

    number: int | None = None
    folds: tuple[int, ...] = ()
    task: str | None = None
    n_cases: int | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A case as a fold predicts it now; ``dice`` is None where nobody has labelled it."""

    fold: int
    epoch: int
    epochs: int
    name: str
    dice: float | None
    dice_per_class: ClassDice


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview that was written.

    Attributes:
        run: Number of the run.
        rows: What the picture shows, from top to bottom.
        said: A sentence for each fold or case that it does not show, and other remarks.
    """

    run: int
    rows: tuple[PreviewRow, ...]
    said: tuple[str, ...]


def preview(
    context: AppContext,
    project_id: int,
    out: Path,
    options: PreviewOptions,
    on_step: OnStep = tell_nobody,
) -> Preview:
    """Predicts a few cases with the folds' newest checkpoints, and draws them beside their truth.

    Reads the run, and writes nothing there: it may train meanwhile.

    Args:
        context: Where the project is.
        project_id: Which.
        out: The PNG to write.
        options: What to show.
        on_step: Is told what is being done.

    Raises:
        TrainingError: There is no such run, fold or task, or nothing to show.
        PredictionError: Run and project have no class in common, or the device is not there.
    """
    workspace = context.workspace(project_id)
    with context.store.read() as session:
        watched = find_run(session, project_id, options.number, options.folds)
        if options.task is not None:
            cases = [named_task(session, watched, options.task)]
        elif watched.manifest.n_folds < 2:
            raise TrainingError(
                f"{watched.name} holds no case out: it is trained on all of them.",
                remedy="--task N shows one that is not labelled, or one that was trained on.",
            )
        else:
            cases = held_out_cases(session, watched, workspace, options.n_cases)
        maker = _Maker.of(context, watched, on_step)
    if not cases:
        raise TrainingError(
            f"None of the cases that run {watched.run.number} holds out is labelled any more.",
            remedy="Name a task: --task N.",
        )
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        at = Path(folder)
        maker = replace(maker, scratch=Workspace(at / "scratch", project_id), out=at)
        return maker.show(cases, options, out, not_shown(watched, cases))


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one preview."""

    context: AppContext
    watched: WatchedRun
    config: LabelConfig
    classes: CommonClasses
    on_step: OnStep
    scratch: Workspace
    out: Path

    @classmethod
    def of(cls, context: AppContext, watched: WatchedRun, on_step: OnStep) -> _Maker:
        project = watched.project
        config = label_config_of(project, project.settings)
        names = label_names_of(project).current_names(watched.manifest.class_values)
        classes = common_classes(watched.name, names, without(config, reused_since(watched)))
        nowhere = Path()
        return cls(
            context, watched, config, classes, on_step, Workspace(nowhere, project.id), nowhere
        )

    def show(
        self, cases: Sequence[ShownCase], options: PreviewOptions, out: Path, said: list[str]
    ) -> Preview:
        ready = self._ready(cases, said)
        if not ready:
            raise TrainingError(f"There is nothing to show: {said[-1]}", remedy="Name a --task N.")
        answers = {one.fold: one for one in self._predicted(ready, options.device)}
        for one in answers.values():
            if not one.epoch:
                said.append(f"Fold {one.fold} {self._why_none(one)}.")
        if not any(one.epoch for one in answers.values()):
            raise self._nothing(answers, said)
        rows: list[PreviewRow] = []
        pictures: list[RgbImage] = []
        for case, at in ready:
            try:
                picture, of_case = self._drawn(case, at, answers, said)
            except (NnloopError, ValueError) as error:
                said.append(f"{case.name}: {one_line(str(error))}")
                continue
            if of_case:
                pictures.append(picture)
                rows.extend(of_case)
        if not pictures:
            raise TrainingError(f"There is nothing to show: {said[-1]}", remedy="Name a --task N.")
        picture = stacked(pictures)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_png(out, picture)
        said.extend(self.classes.remarks)
        run = self.watched.run
        done = [one.fold for one in answers.values() if one.epoch and one.epoch == one.epochs]
        if done and not RunStatus(run.status).is_final:
            said.extend(f"Fold {fold} has trained its last epoch." for fold in done)
        if RunStatus(run.status).is_final:
            said.append(f"Run {run.number} is {run.status}: this is what its last checkpoints say.")
        return Preview(self.watched.run.number, tuple(rows), tuple(said))

    def _ready(
        self, cases: Sequence[ShownCase], said: list[str]
    ) -> list[tuple[ShownCase, Workspace]]:
        """Cases whose image is there, with the workspace that has it; truths are written."""
        writer = ReferenceWriter(
            context=self.context,
            workspace=self.context.workspace(self.watched.project.id),
            scratch=self.scratch,
            config=self.config,
            settings=self.watched.project.settings,
            n_channels=self.watched.manifest.n_channels,
            out=self.out / "truth",
        )
        ready = []
        for done, case in enumerate(cases):
            self.on_step(_READING, done, len(cases))
            try:
                ready.append((case, self._written(writer, case)))
            except Exception as error:  # noqa: BLE001 - the fault of one case stops no other
                said.append(f"{case.name}: {fault_of(case.task.id, error).in_full}")
        return ready

    def _written(self, writer: ReferenceWriter, case: ShownCase) -> Workspace:
        if case.annotations:
            of_fold = EvaluationCase(case.case_id, case.task, case.annotations, case.folds[0])
            return writer.write(of_fold)
        image = load_image(self.context, case.task, self.config)
        nothing = np.zeros(image.shape[:2], np.uint8)
        write_case(self.scratch, case.case_id, image, nothing, n_channels=writer.n_channels)
        return self.scratch

    def _predicted(
        self, ready: Sequence[tuple[ShownCase, Workspace]], device: str
    ) -> tuple[PreviewedFold, ...]:
        watched = self.watched
        workspace = self.context.workspace(watched.project.id)
        folds = []
        for fold in sorted({fold for case, _ in ready for fold in case.folds}):
            fold_dir = workspace.fold_dir(watched.run.number, fold)
            of_fold = tuple(
                CaseToPreview(str(at.root.resolve()), at.project_id, case.case_id)
                for case, at in ready
                if fold in case.folds
            )
            checkpoints = checkpoints_of(fold_dir, watched.version_dir, fold)
            folds.append(FoldToPreview(fold, checkpoints, of_fold))
        # Most often nothing is there yet: that is said at once, before torch is loaded.
        there = [one for one in folds if any(Path(path).exists() for path in one.checkpoints)]
        absent = tuple(PreviewedFold(one.fold) for one in folds if one not in there)
        if not there:
            return absent
        n_done = 0

        def on_fold() -> None:
            nonlocal n_done
            n_done += 1
            self.on_step(_PREDICTING, n_done, len(there))

        self.on_step(_PREDICTING, 0, len(there))
        preset = watched.manifest.preset
        found = preview_folds(
            there,
            self.out / "predictions",
            device=device,
            tile_step=preset.tile_step,
            mirrors=preset.mirror_predict,
            integers=self.classes.integers,
            on_fold=on_fold,
        )
        return (*found, *absent)

    def _drawn(
        self,
        case: ShownCase,
        at: Workspace,
        answers: dict[int, PreviewedFold],
        said: list[str],
    ) -> tuple[RgbImage, list[PreviewRow]]:
        """The picture of a case, and a row for each fold that predicts it; [] = none does."""
        found = []
        for fold in case.folds:
            answer = answers[fold]
            if not answer.epoch:
                continue
            if message := answer.failures.get(case.case_id):
                said.append(f"{case.name}, fold {fold}: {one_line(message)}")
                continue
            path = self.out / "predictions" / f"fold_{fold}" / f"{case.case_id}.png"
            found.append((answer, read_image(path)))
        if not found:
            return np.empty((0, 0, 3), np.uint8), []
        image = read_image(at.image_png(case.case_id))
        if not case.annotations:
            predictions = [(f"Fold {one.fold}", _epoch(one), label_map) for one, label_map in found]
            picture = predictions_alone(image, case.name, predictions, self.config)
            rows = [
                PreviewRow(one.fold, one.epoch, one.epochs, case.name, None, {}) for one, _ in found
            ]
            return picture, rows
        [(answer, label_map)] = found
        truth = read_image(self.out / "truth" / f"{case.case_id}.png")
        every = named_dice(label_map, truth, self.config.class_values)
        dice = {name: every[name] for name in self.classes.names.values()}
        row = PreviewRow(
            answer.fold, answer.epoch, answer.epochs, case.name, image_dice(dice.values()), dice
        )
        measures = ", ".join(
            f"{name} {value:.2f}" for name, value in dice.items() if value is not None
        )
        who = f"fold {answer.fold}, {_epoch(answer)}"
        picture = comparison(
            image,
            truth,
            label_map,
            self.config,
            title=case.name,
            measures=f"Dice {row.dice:.2f}" + (f" ({measures})" if measures else ""),
            said=f"{who}; {case.remark}" if case.remark else who,
        )
        return picture, [row]

    def _why_none(self, answer: PreviewedFold) -> str:
        if answer.message:
            return f"can't be shown: {one_line(answer.message)}".rstrip(".")
        row = next((row for row in self.watched.folds if row.fold == answer.fold), None)
        status = FoldStatus(row.status) if row is not None else FoldStatus.QUEUED
        if status == FoldStatus.QUEUED:
            return "has not begun"
        return "has no checkpoint any more" if status.is_final else "has finished no epoch yet"

    def _nothing(self, answers: dict[int, PreviewedFold], said: Sequence[str]) -> TrainingError:
        if any(one.message for one in answers.values()):
            return TrainingError(said[-1], remedy="See the fold's log: nnloop log")
        # The run may have ended meanwhile, and its files with it.
        project_id, number = self.watched.project.id, self.watched.run.number
        with self.context.store.read() as session:
            now = find_run(session, project_id, number, ())
        return why_nothing(now, "checkpoints")


def _epoch(answer: PreviewedFold) -> str:
    return f"epoch {answer.epoch} of {answer.epochs}"

"""What came of a training from files: figures, sentences, pictures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.orm import Session

from backend.from_files.context import PROJECT, FilesContext
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.image_names import image_names
from backend.pipeline.labels.of_version import labels_of_version
from backend.pipeline.models.version_report import version_report
from backend.report.steps import OnStep, tell_nobody
from backend.report.write import ReportOptions, write_report
from backend.store import projects
from backend.store.models import RunRow, VersionRow
from backend.store.training import runs, versions
from domain.annotation import LeftOut
from domain.states import RunStatus, VersionStatus
from training.folds.spec import CURVES
from training.versions.version_folder import read_version

PICTURE = "training.png"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the newest run ended.

    Attributes:
        version: The version that predicts now; "" = none.
        dice: Class -> its held-out Dice, mean over the images that show it; None unknown.
        images_of_class: Class -> labelled images that show it; {} where that is not known.
        left_out: Each image, or part of one, that was not trained on, by its name.
        said: What else is to be told.
        classes: Of that version, the names of the integers 1, 2, ...
        has_failed: Whether there is no version.
    """

    version: str = ""
    dice: Mapping[str, float | None] = field(default_factory=dict)
    images_of_class: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    said: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    has_failed: bool = False


def outcome_of(context: FilesContext) -> Outcome:
    """Of the newest run, and of the version that it made."""
    with context.store.read() as session:
        champion = versions.champion(session, PROJECT)
        run = next(iter(runs.runs_of(session, PROJECT, 1)), None)
        made = None if run is None else versions.version_of_run(session, run.id)
        said = []
        left_out: tuple[LeftOut, ...] = ()
        if run is not None:
            left_out = (
                run.manifest.left_out if run.manifest is not None else _unprepared(session, run)
            )
            if run.note:
                said.append(run.note)
        if made is not None:
            gate = version_report(session, made).gate
            if gate:
                said.append(f"{made.name}: {gate}.".replace("..", "."))
            if made.status == VersionStatus.REJECTED and champion is not None:
                said.append(f"{champion.name} stays the version that predicts.")
        return Outcome(
            version=champion.name if champion is not None else "",
            dice=version_report(session, champion).oof_dice if champion is not None else {},
            images_of_class=champion.metrics.cases_of_class if champion is not None else {},
            left_out=_by_name(session, left_out),
            said=tuple(said),
            classes=_classes(session, champion),
            has_failed=champion is None or (run is not None and run.status == RunStatus.FAILED),
        )


def _unprepared(session: Session, run: RunRow) -> tuple[LeftOut, ...]:
    """What could not be used of a run that ended before it had its cases."""
    return tuple(
        LeftOut(row.task_id, row.reason, row.message, remedy=row.remedy)
        for row in reversed(projects.open_problems(session, PROJECT))
        if row.run_id == run.id and row.task_id is not None
    )


def _classes(session: Session, champion: VersionRow | None) -> tuple[str, ...]:
    """As masks have them that it predicts."""
    if champion is None:
        return ()
    project = projects.get(session, PROJECT)
    config = label_config_of(project, project.settings)
    values = read_version(Path(champion.path)).class_values
    return labels_of_version(config, champion, values).config.class_values


def _by_name(session: Session, notes: tuple[LeftOut, ...]) -> tuple[LeftOut, ...]:
    """By the names of the images: ids of tasks say nothing to who has files."""
    project = projects.get(session, PROJECT)
    names = image_names(session, project, (note.task_id for note in notes))
    found = []
    for note in notes:
        name = names.get(note.task_id)
        told = note.message.replace(f"Task {note.task_id}", name, 1) if name else note.message
        found.append(replace(note, message=told))
    return tuple(found)


def write_outcome(
    context: FilesContext, out: Path, on_step: OnStep = tell_nobody
) -> tuple[Path, ...]:
    """Writes the report and the curves of the newest run; where they are."""
    pages = []
    with context.store.read() as session:
        run = next(iter(runs.runs_of(session, PROJECT, 1)), None)
    if run is not None:
        drawn = context.workspace(PROJECT).run_dir(run.number) / CURVES
        if drawn.exists():
            shutil.copyfile(drawn, out / PICTURE)
            pages.append(out / PICTURE)
    pages.append(write_report(context, PROJECT, ReportOptions(out, of_files=True), on_step))
    return tuple(pages)

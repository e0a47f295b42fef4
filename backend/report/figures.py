"""The figures of a report, read from the store alone; nothing is drawn here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.image_names import image_names
from backend.pipeline.doubts.report import CheckReport, check_report
from backend.pipeline.models.version_report import standing_of
from backend.pipeline.progress.learning import Learning, learning_of
from backend.pipeline.quality.calibrate import ScorePair, score_pairs
from backend.pipeline.quality.effort import (
    ProjectEffort,
    effort_of_project,
    seconds_per_label,
)
from backend.pipeline.queues.report import ControlArmReport, control_arm_of
from backend.pipeline.sync import trigger
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.tasks import snapshots
from backend.store.training import runs, versions
from domain.labels import LabelNames
from domain.states import TaskState, VersionOrigin
from training.evaluation import image_dice

MOST_VERSIONS = 30
"""Versions that are listed, the newest; the older ones are counted."""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """A class of a version.

    Attributes:
        name: As it is called now.
        n: Held-out images that say something about it.
        dice: Mean over them, in [0, 1]; None where n is 0.
        standard_error: Of that mean; None where n is below 2.
        n_trained: Images it was trained on that show it; None where nobody counted.
    """

    name: str
    n: int
    dice: float | None
    n_trained: int | None
    standard_error: float | None = None


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """A version.

    Attributes:
        name: Its name.
        standing: Its status in a word.
        labels: It was trained on.
        created_at: Seconds since the epoch.
        n: Images it held out.
        dice: Mean Dice of these images, in [0, 1]; None without one.
        standard_error: Of that mean; None of fewer than two.
        gate: What the gate said; "" where it said nothing.
        remark: On how it was measured or made; "" = none.
        origin: Where it comes from.
    """

    name: str
    standing: str
    labels: int
    created_at: float
    n: int
    dice: float | None
    standard_error: float | None
    gate: str
    remark: str
    origin: VersionOrigin


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """All that a report says, but for its pictures of cases.

    Attributes:
        title: The project's.
        made_at: When, seconds since the epoch.
        synced_at: When Label Studio was last read; None = never.
        n_tasks: All of them.
        n_labelled: Of them.
        waiting_for: What the next training waits for.
        target: ``target_quality`` of the project.
        serving: The version that serves; None before the first.
        classes: Of that version.
        learning: With its band.
        versions: The newest ``MOST_VERSIONS``, newest first.
        n_older: Versions beside those.
        scores: Of the serving version: what scores expected and what was true, by kind.
        control_arm: None before a batch with control tasks is done.
        n_problems: Open problems of the project.
        checking: Labels that are doubtful; None where nobody asked.
        effort: What labels cost people.
        image_names: Task -> what the image of a doubtful label is called.
        of_files: Whether labels and images are files, and there is no Label Studio.
    """

    title: str
    made_at: float
    synced_at: float | None
    n_tasks: int
    n_labelled: int
    waiting_for: str
    learning: Learning
    target: float | None = None
    serving: VersionFigures | None = None
    classes: tuple[ClassFigures, ...] = ()
    versions: tuple[VersionFigures, ...] = ()
    n_older: int = 0
    scores: Mapping[str, tuple[ScorePair, ...]] = field(default_factory=dict)
    control_arm: ControlArmReport | None = None
    n_problems: int = 0
    checking: CheckReport | None = None
    effort: ProjectEffort = field(default_factory=ProjectEffort)
    image_names: Mapping[int, str] = field(default_factory=dict)
    of_files: bool = False


def figures_of(context: AppContext, project_id: int) -> ReportFigures:
    """Reads the figures of a project.

    Raises:
        NotConnectedError: nnloop does not know the project.
    """
    checking = check_report(context, project_id)
    with context.store.read() as session:
        project = projects.get(session, project_id)
        counts = snapshots.counts(session, project_id)
        names = label_names_of(project)
        champion = versions.champion(session, project_id)
        listed, n_older = _listed(session, project_id)
        active = runs.active_run(session, project_id)
        return ReportFigures(
            title=project.title,
            made_at=time.time(),
            synced_at=project.synced_at,
            n_tasks=sum(counts.values()),
            n_labelled=counts[TaskState.LABELLED],
            waiting_for=f"Run {active.number} is {active.status}."
            if active is not None
            else trigger.evaluate(session, project_id).reason,
            target=project.settings.target_quality,
            serving=None if champion is None else _figures(champion),
            classes=() if champion is None else _classes(champion, names),
            learning=learning_of(
                session,
                project,
                seconds_per_label=seconds_per_label(session, project_id),
                with_band=True,
            ),
            versions=tuple(_figures(row) for row in listed),
            n_older=n_older,
            scores={} if champion is None else score_pairs(session, champion),
            control_arm=control_arm_of(session, project_id),
            n_problems=len(projects.open_problems(session, project_id)),
            checking=checking,
            effort=effort_of_project(session, project),
            image_names=image_names(session, project, (one.task_id for one in checking.labels)),
        )


def _listed(session: Session, project_id: int) -> tuple[list[VersionRow], int]:
    """The newest versions with their figures, newest first; and how many there are beside."""
    ids = [one.id for one in versions.briefs_of(session, project_id)]
    query = select(VersionRow).where(VersionRow.id.in_(ids[-MOST_VERSIONS:]))
    rows = list(session.scalars(query.order_by(VersionRow.id.desc())))
    return rows, len(ids) - len(rows)


def _figures(row: VersionRow) -> VersionFigures:
    metrics = row.metrics
    dice = [image_dice(one.values()) for one in metrics.dice_per_case.values()]
    return VersionFigures(
        name=row.name,
        standing=standing_of(row.status, row.promoted_at),
        labels=metrics.labels,
        created_at=row.created_at,
        n=len(dice),
        dice=float(np.mean(dice)) if dice else None,
        standard_error=_standard_error(dice),
        gate=metrics.gate.reason if metrics.gate else "",
        remark=metrics.remark,
        origin=VersionOrigin(row.origin),
    )


def _classes(row: VersionRow, names: LabelNames) -> tuple[ClassFigures, ...]:
    metrics = row.metrics
    trained = names.renamed(metrics.cases_of_class)
    per_case = [names.renamed(one) for one in metrics.dice_per_case.values()]
    found = []
    for name, dice in names.renamed(metrics.oof_dice).items():
        values = [value for one in per_case if (value := one.get(name)) is not None]
        error = _standard_error(values)
        found.append(ClassFigures(name, len(values), dice, trained.get(name), error))
    return tuple(found)


def _standard_error(values: Sequence[float]) -> float | None:
    """Of a mean; one value tells none."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None

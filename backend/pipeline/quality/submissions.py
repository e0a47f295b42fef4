"""Submissions: what each annotation cost the person who submitted it first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from active_learning.effort import by_class
from backend.pipeline.basis.annotations import (
    label_config_of,
    label_names_of,
    predicted_regions,
)
from backend.pipeline.basis.context import AppContext
from backend.pipeline.quality.overlap import ShownBy
from backend.store import projects
from backend.store.models import (
    AnnotationRow,
    JsonDict,
    PredictionRow,
    ProjectRow,
    TaskRow,
    VersionRow,
)
from backend.store.quality import efforts
from backend.store.quality.efforts import EffortRow, Unmeasured
from backend.store.tasks.predictions import is_live
from converters.label_studio.beginnings import Beginning, Begun, Candidate, beginning_of
from converters.label_studio.corrections import changes_between, extent_of
from domain.errors import LabelConfigError
from domain.labels import LabelConfig
from training.evaluation import image_dice

logger = logging.getLogger(__name__)

MEASURE_S = 5.0
"""What is left after this time, as when a project with thousands of annotations is read for the
first time, follows at the next reading."""

SITTING_S = 3_600.0
"""Changes that a person makes to their annotation within this time of submitting it are of the same
work. Later ones, and other people's, say nothing about the prediction that it began with."""

CHUNK = 20
"""Annotations written at once."""


def measure_submissions(context: AppContext, project_id: int) -> int:
    """Measures the effort of annotations that were submitted since; how many.

    Each counts as it was when it was first submitted: changes, Label Studio's clock, who. What is
    done to it later leaves that as it is. The effort of annotations that are gone goes with them.
    Reads nothing but the store.
    """
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        try:
            config = label_config_of(project, project.settings)
        except LabelConfigError:
            return 0  # said elsewhere; nothing can be read until it is mended
        efforts.keep_submitted(session, project_id)
        due = [one for one in efforts.unmeasured(session, project_id) if _is_due(one)]
    meter = _Meter(project, config)
    until = time.monotonic() + MEASURE_S
    for start in range(0, len(due), CHUNK):
        if time.monotonic() > until:
            logger.info("Project %d: effort of %d annotations is left.", project_id, len(due))
            return start
        chunk = due[start : start + CHUNK]
        with context.store.read() as session:
            found = [row for one in chunk if (row := meter.measure(session, one)) is not None]
        with context.store.begin() as session:
            efforts.save(session, found)
    return len(due)


def _is_due(one: Unmeasured) -> bool:
    return not one.is_changed or _is_of_one_sitting(one)


def _is_of_one_sitting(one: Unmeasured) -> bool:
    """Whether nobody but its author has saved it, and they not much later."""
    if one.updated_by not in (None, one.completed_by):
        return False
    made, saved = _moment(one.created_at), _moment(one.updated_at)
    return made is None or saved is None or saved - made <= SITTING_S


class _Meter:
    """Measures annotations of a project."""

    def __init__(self, project: ProjectRow, config: LabelConfig) -> None:
        self._project, self._config = project, config
        names = label_names_of(project)
        self._now: Callable[[str], str] = lambda name: names.now(name) or name
        self._shown: dict[int, ShownBy] = {}

    def measure(self, session: Session, one: Unmeasured) -> EffortRow | None:
        """What it cost; None where it is gone meanwhile."""
        row = session.get(AnnotationRow, one.annotation_id)
        task = session.get(TaskRow, one.task_id)
        if row is None or task is None or row.task_id != one.task_id:
            return None
        rows, begun = self._begun(session, one, row)
        prediction = rows[begun.position] if begun.position is not None else None
        submitted = _entries(row)
        extent = extent_of(submitted)
        effort = EffortRow(
            annotation_id=row.id,
            project_id=row.project_id,
            task_id=row.task_id,
            source=task.source,
            made_at=row.created_at,
            content_hash=row.content_hash,
            annotator_id=row.completed_by,
            beginning=begun.what,
            lead_time_s=row.lead_time_s,
            classes=by_class(
                changes_between(prediction.result if prediction else [], submitted, self._now)
            ),
            n_regions=extent.n_regions,
            n_points=extent.n_points,
        )
        if prediction is not None:
            effort.version_id, effort.score = prediction.version_id, prediction.score
            dice = self._shown_by(session, prediction.version_id).dice(
                prediction, [row], predicted_regions(session, [row])
            )
            effort.dice = None if dice is None else image_dice(dice.values())
            effort.dice_per_class = dice or {}
        return effort

    def _begun(
        self, session: Session, one: Unmeasured, row: AnnotationRow
    ) -> tuple[Sequence[PredictionRow], Begun]:
        """The task's predictions, the newest first, and which of them the annotation began with."""
        if not _is_of_one_sitting(one):
            return (), Begun(Beginning.OTHER)  # who did what can't be told any more
        query = (
            select(PredictionRow)
            .join(TaskRow, TaskRow.id == PredictionRow.task_id)
            .where(PredictionRow.task_id == row.task_id, PredictionRow.error == "", is_live())
            .order_by(PredictionRow.version_id.desc())
        )
        rows = list(session.scalars(query))
        former = session.get(EffortRow, row.id) if one.is_changed else None
        if former is not None and former.version_id is not None:
            # What it began with stays so, also when nothing of that is left.
            for position, found in enumerate(rows):
                if found.version_id == former.version_id:
                    return rows, Begun(Beginning.PREDICTION, position)
        made = _moment(row.created_at)
        candidates = [
            Candidate(found.result, found.published_at is not None, self._is_gone(found, made))
            for found in rows
        ]
        has_parent = row.parent_prediction is not None
        return rows, beginning_of(_entries(row), candidates, has_parent=has_parent)

    def _is_gone(self, row: PredictionRow, made: float | None) -> bool:
        """Whether Label Studio may have held a prediction and holds it no more.

        What the serving version has predicted is there, or was never sent.
        """
        is_older = made is None or row.created_at < made
        is_retired = row.version_id != self._project.champion_id
        return is_retired and row.published_at is None and not row.held and is_older

    def _shown_by(self, session: Session, version_id: int) -> ShownBy:
        if version_id not in self._shown:
            version = session.get_one(VersionRow, version_id)
            self._shown[version_id] = ShownBy.version(session, self._project, self._config, version)
        return self._shown[version_id]


def _entries(row: AnnotationRow) -> list[JsonDict]:
    """What of an annotation are entries at all: it may come from anywhere."""
    return [entry for entry in row.result if isinstance(entry, dict)]


def _moment(text: str) -> float | None:
    """Seconds of one of Label Studio's times; None where it has none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None

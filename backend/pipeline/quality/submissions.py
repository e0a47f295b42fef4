"""Submissions: what each annotation cost the person who submitted it first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from active_learning.effort import by_class
from backend.label_studio import PushedPrediction
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
from converters.label_studio.beginnings import (
    Beginning,
    Begun,
    Candidate,
    told_by_parent,
    told_by_regions,
)
from converters.label_studio.corrections import changes_between, extent_of
from domain.errors import LabelConfigError, LabelStudioError
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
    Label Studio is asked only of what nothing else tells: which predictions it still holds of a
    task whose annotation has nothing of any. Where it does not answer these follow later.
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
    n_measured = 0
    for start in range(0, len(due), CHUNK):
        if time.monotonic() > until:
            break
        chunk = due[start : start + CHUNK]
        done = _measure(context, meter, chunk)
        if meter.unasked:
            _ask(context, project_id, meter)
            rest = [one for one in chunk if one.annotation_id not in done]
            done |= _measure(context, meter, [one for one in rest if one.task_id in meter.held])
        n_measured += len(done)
    if n_measured < len(due):
        n_left = len(due) - n_measured
        logger.info("Project %d: effort of %d annotations is left.", project_id, n_left)
    return n_measured


def _measure(context: AppContext, meter: _Meter, some: Sequence[Unmeasured]) -> set[int]:
    """Ids of the annotations that were measured."""
    with context.store.read() as session:
        found = [row for one in some if (row := meter.measure(session, one)) is not None]
    done = {row.annotation_id for row in found}
    with context.store.begin() as session:
        efforts.save(session, found)
    return done


def _ask(context: AppContext, project_id: int, meter: _Meter) -> None:
    """Asks which predictions are there; outside the store, for the answer may be slow."""
    task_ids = sorted(meter.unasked)
    meter.unasked.clear()
    if meter.is_unanswered:
        return
    held: dict[int, list[PushedPrediction]] = {task_id: [] for task_id in task_ids}
    try:
        for row in context.label_studio.iter_predictions(project_id, task_ids=task_ids):
            if row.task_id in held:
                held[row.task_id].append(row)
    except LabelStudioError as error:
        logger.warning("Project %d: what some labels began with waits: %s", project_id, error)
        meter.is_unanswered = True
        return
    meter.held = held


def _is_due(one: Unmeasured) -> bool:
    return not one.is_changed or _is_of_one_sitting(one)


def _is_of_one_sitting(one: Unmeasured) -> bool:
    """Whether nobody but its author has saved it, and they not much later."""
    if one.updated_by not in (None, one.completed_by):
        return False
    made, saved = _moment(one.created_at), _moment(one.updated_at)
    return made is None or saved is None or saved - made <= SITTING_S


class _Meter:
    """Measures annotations of a project.

    Attributes:
        held: What Label Studio said it holds, by the tasks it was asked of last.
        unasked: Tasks that it has to be asked of before their annotations can be measured.
        is_unanswered: It did not answer.
    """

    def __init__(self, project: ProjectRow, config: LabelConfig) -> None:
        self.held: dict[int, list[PushedPrediction]] = {}
        self.unasked: set[int] = set()
        self.is_unanswered = False
        self._project, self._config = project, config
        names = label_names_of(project)
        self._now: Callable[[str], str] = lambda name: names.now(name) or name
        self._shown: dict[int, ShownBy] = {}

    def measure(self, session: Session, one: Unmeasured) -> EffortRow | None:
        """What it cost; None where it is gone meanwhile, or only Label Studio can tell."""
        row = session.get(AnnotationRow, one.annotation_id)
        task = session.get(TaskRow, one.task_id)
        if row is None or task is None or row.task_id != one.task_id:
            return None
        rows, begun = self._begun(session, one, row)
        if begun is None:
            self.unasked.add(one.task_id)
            return None
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
    ) -> tuple[Sequence[PredictionRow], Begun | None]:
        """The task's predictions, the newest first, and which of them the annotation began with.

        None in its place where Label Studio has to be asked first.
        """
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
        told = told_by_regions(_entries(row), [found.result for found in rows])
        if told is not None:
            return rows, told
        shown = [_may_have_been_shown(found, _moment(row.created_at)) for found in rows]
        has_parent = row.parent_prediction is not None
        if (any(shown) or (rows and has_parent)) and row.task_id not in self.held:
            return rows, None
        candidates = [
            self._candidate(session, found, row, may_be_shown=may_be_shown)
            for found, may_be_shown in zip(rows, shown, strict=True)
        ]
        there = {one.id for one in self.held.get(row.task_id, ())}
        return rows, told_by_parent(
            candidates,
            has_parent=has_parent,
            is_parent_there=row.parent_prediction in there,
        )

    def _candidate(
        self, session: Session, found: PredictionRow, row: AnnotationRow, *, may_be_shown: bool
    ) -> Candidate:
        """What Label Studio says of a prediction.

        What nnloop knows of its own pushes does not tell: somebody may have deleted it there, and
        what was deleted and pushed again since is another one.
        """
        name = session.get_one(VersionRow, found.version_id).name
        of_task = self.held.get(row.task_id, ())
        held = [one for one in of_task if one.model_version == name]
        made = _moment(row.created_at)
        is_there = any(made is None or (_moment(one.created_at) or 0.0) < made for one in held)
        return Candidate(
            is_gone=may_be_shown and not is_there,
            is_parent=row.parent_prediction in {one.id for one in held},
        )

    def _shown_by(self, session: Session, version_id: int) -> ShownBy:
        if version_id not in self._shown:
            version = session.get_one(VersionRow, version_id)
            self._shown[version_id] = ShownBy.version(session, self._project, self._config, version)
        return self._shown[version_id]


def _may_have_been_shown(row: PredictionRow, made: float | None) -> bool:
    """Whether a prediction may have been in Label Studio when an annotation was made.

    What was made before it is pushed within seconds, unless it is held; whether it was, nothing
    tells once it is gone there.
    """
    return not row.held and (made is None or row.created_at < made)


def _entries(row: AnnotationRow) -> list[JsonDict]:
    """What of an annotation are entries at all: it may come from anywhere."""
    return [entry for entry in row.result if isinstance(entry, dict)]


def _moment(text: str) -> float | None:
    """Seconds of one of Label Studio's times; None where it has none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None

"""Corrections: what people made of predictions that their version could not know the answer to."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import (
    label_config_of,
    predicted_regions,
    reading_of,
)
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.lineage import GroupsNow, NamesNow, seen_of_fold
from backend.pipeline.quality.overlap import ShownBy
from backend.store import projects
from backend.store.models import PredictionRow, ProjectRow, TaskRow, VersionRow
from backend.store.quality import pairs
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.quality.pairs import Judged
from backend.store.tasks import snapshots
from domain.annotation import AnnotatedTask
from domain.case import ManifestEntry, case_id_of_task
from domain.errors import LabelConfigError
from domain.hashing import content_hash
from domain.labels import LabelConfig
from training.evaluation import ClassDice, image_dice
from training.versions.lineage import Seen

logger = logging.getLogger(__name__)

MEASURE_S = 5.0
"""Comparing shapes takes some 10 ms each. What is left after this time, as when a project with
thousands of annotations is read for the first time, follows at the next reading."""


def measure_corrections(context: AppContext, project_id: int) -> int:
    """Brings the project's honest pairs to what is annotated now; how many were measured.

    New and changed annotations are compared with the predictions that their tasks were shown with;
    pairs of what is gone go. No image is fetched: both sides are drawn at the size they were drawn
    on, as for training, by the names, the policy and the settings of now.
    """
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        judged = pairs.judged_predictions(session, project_id)
        try:
            config = label_config_of(project, project.settings)
        except LabelConfigError:
            return 0  # said elsewhere; nothing can be read until it is mended
        policy = project.settings.annotator_policy
        truth = snapshots.chosen_hashes(session, project_id, policy) if judged else {}
        reading = content_hash(
            [reading_of(config, project.settings), list(config.class_values), project.label_mapping]
        )
        wanted = {task_id: content_hash([*found, reading]) for task_id, found in truth.items()}
        judged = [one for one in judged if one.task_id in wanted]
        kept = [one.pair_id for one in judged if one.pair_id is not None]
        pairs.keep_only(session, project_id, kept)
    due = [one for one in judged if one.content_hash != wanted[one.task_id]]
    if not due:
        return 0
    until = time.monotonic() + MEASURE_S
    n_measured = 0
    judge = _Judge(context, project, config)
    for one in due:
        if time.monotonic() > until:
            logger.info("Project %d: %d pairs are left.", project_id, len(due) - n_measured)
            break
        judge.measure(one, truth[one.task_id], wanted[one.task_id])
        n_measured += 1
    return n_measured


class _Judge:
    """Compares predictions of a project with its annotations."""

    def __init__(self, context: AppContext, project: ProjectRow, config: LabelConfig) -> None:
        self._context, self._project, self._config = context, project, config
        self._versions: dict[int, _Version] = {}

    def measure(self, one: Judged, truth: AnnotatedTask, wanted: str) -> None:
        """Writes the pair of a prediction; one without a Dice where it can't be compared."""
        policy = self._project.settings.annotator_policy
        with self._context.store.begin() as session:
            task = session.get(TaskRow, one.task_id)
            prediction = session.get(PredictionRow, one.prediction_id)
            if task is None or prediction is None or task.source != truth.source:
                return  # gone meanwhile; the next reading finds what is there
            if one.version_id not in self._versions:
                self._versions[one.version_id] = self._version(session, one.version_id)
            version = self._versions[one.version_id]
            annotations = snapshots.chosen_of_task(session, task, policy)
            predicted = predicted_regions(session, annotations) if annotations else []
        if not annotations:
            return
        dice: ClassDice | None = None
        if not version.has_seen(task):
            dice = version.shown.dice(prediction, annotations, predicted)
        pair = HonestPairRow(
            project_id=self._project.id,
            task_id=one.task_id,
            version_id=one.version_id,
            source=truth.source,
            annotation_id=truth.annotation_id,
            content_hash=wanted,
            measures=prediction.measures,
            score=prediction.score,
            score_low=prediction.score_low,
            score_high=prediction.score_high,
            dice=None if dice is None else image_dice(dice.values()),
            dice_per_class=dice or {},
        )
        with self._context.store.begin() as session:
            pairs.save(session, pair)

    def _version(self, session: Session, version_id: int) -> _Version:
        row = session.get_one(VersionRow, version_id)
        seen = seen_of_fold(session, row, None)
        now = GroupsNow.today(session, self._project.id)
        return _Version(
            shown=ShownBy.version(session, self._project, self._config, row),
            groups=now,
            names=None if seen is None else now.of(seen),
            seen=None if seen is None else now.of(seen).seen(seen),
        )


@dataclass(frozen=True, slots=True)
class _Version:
    """A version, in the words of its project as it is now.

    Attributes:
        shown: Draws what it predicted.
        groups: What groups are called now.
        names: The same of all it has seen; None where nobody can tell what that is.
        seen: All it has seen.
    """

    shown: ShownBy
    groups: GroupsNow
    names: NamesNow | None
    seen: Seen | None

    def has_seen(self, task: TaskRow) -> bool:
        """Whether it was trained on a task, its image or its group; what can't be told counts."""
        if self.seen is None or self.names is None or not self.names.are_known:
            return True
        case_id = case_id_of_task(task.id, task.source)
        group = self.groups.group_of(task) or case_id_of_task(task.id)
        entry = ManifestEntry(
            case_id, task.id, 0, "", self.names.joined.get(group, group), 0, (), task.source,
            task.image_hash,
        )  # fmt: skip
        return bool(self.seen.seen_of([entry], {}))

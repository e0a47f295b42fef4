"""Scores the pool: fold probabilities, polygons and score of unlabelled tasks."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from active_learning.measures import measure_image
from active_learning.novelty import FEWEST, LabelledLooks
from active_learning.why import why
from backend.pipeline.basis import trials
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.loading import Arrivals
from backend.pipeline.basis.warm_predictor import warm_predictor
from backend.pipeline.labels.of_version import labels_of_version, reused_names, without
from backend.pipeline.labels.shown import as_shown
from backend.pipeline.predictions.held import why_held
from backend.pipeline.predictions.notes import too_many, with_reason
from backend.pipeline.predictions.open_pool import (
    PORTION,
    Between,
    OpenPool,
    Scored,
    UnscoredTasks,
    close_pool,
    open_pool,
)
from backend.pipeline.predictions.task_images import TaskImages
from backend.pipeline.quality.calibrate import calibration_of
from backend.queue import stop_requested
from backend.store import projects
from backend.store.models import PredictionRow, ProjectRow, TaskRow, VersionRow
from backend.store.tasks import embeddings, predictions, problems
from backend.store.training import versions
from backend.store.training.trials import bury_dead, end_trials
from converters.label_studio.write import regions_to_result, validate_prediction
from converters.outlines.limits import Simplification
from converters.outlines.parts import area_that_keeps
from converters.outlines.vectorize import inner_last, vectorize
from domain.annotation import LeftOut
from domain.errors import PredictionError
from domain.labels import LabelConfig
from domain.prediction import FoldProbabilities, most_probable
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.postprocessing import postprocessed
from training.versions.keep_largest import read_postprocessing
from training.versions.version_folder import read_version

logger = logging.getLogger(__name__)

# A scoring job hands the worker back after this time, for the pools of other projects and what else
# it does; earlier when an annotator has opened an unscored task.
CHUNK_S = 3.0
# Others wait behind who has opened a task whose image does not come.
TASK_S = 1.0
# An outline takes some milliseconds each, and nobody edits so many; the network saw noise.
MOST_PARTS = 2_000
RETRY_REMEDY = "It is set aside; `nnloop score PROJECT --retry` tries it again."
DEFAULT_LIMITS = Simplification()


def score_chunk(context: AppContext, project_id: int, between: Between | None = None) -> bool:
    """Scores unlabelled tasks for a few seconds; returns whether some are left.

    What is under way when the time is over stays so; the next call takes it up, unless another
    version serves by then, or the interface or a setting has changed.
    """
    between = between or Between()
    suspects: set[int] = set()
    deadly: set[int] = set()
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        version = versions.champion(session, project_id)
        is_halted = project_id in projects.halted(session)
        tasks = (
            predictions.unscored_tasks(session, project_id, version.id, PORTION)
            if version is not None and not is_halted
            else []
        )
        if tasks:
            suspects, deadly = bury_dead(session, project_id, trials.liveness(context))
            reused = reused_names(session, project, version) if version else frozenset()
    if version is None or not tasks or stop_requested():
        close_pool(context, project_id)
        return bool(tasks)
    until = time.monotonic() + CHUNK_S
    if suspects or deadly:
        close_pool(context, project_id)
        scorer = Scorer(context, project, version)
        for task in tasks:
            if task.id in deadly:
                scorer.set_aside(task)
        # Who was at work when a worker died works alone: of all of them one is to blame.
        for task in [task for task in tasks if task.id in suspects - deadly]:
            for _ in scorer.score([task], until):
                between.on_scored()
            if stop_requested() or time.monotonic() > until:
                break
    if not suspects:
        made_from = (version.id, version.calibration, project.settings, project.label_config)
        key = (*made_from, *project.label_mapping.items(), reused)
        pool = open_pool(
            context,
            project_id,
            key,
            lambda: Scorer(context, project, version).pool(key, deadly),
        )
        try:
            is_used_up = pool.turn(until, between)
        except BaseException:
            close_pool(context, project_id)
            raise
        if is_used_up or stop_requested():
            close_pool(context, project_id)
    with context.store.begin() as session:
        left = predictions.unscored_tasks(session, project_id, version.id, 1, retry=False)
    if not left:
        close_pool(context, project_id)
    return bool(left)


def score_task(
    context: AppContext,
    project_id: int,
    task_id: int,
    on_image: Callable[[], None] = lambda: None,
) -> None:
    """Scores one task with the champion, whatever its state; nothing without a champion.

    Other annotators wait behind: an image that does not come at once is left to come, and
    ``on_image`` is called from another thread when it is there.
    """
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        version = versions.champion(session, project_id)
        task = session.get(TaskRow, task_id)
        if task is not None and task.project_id != project_id:
            task = None  # its id has gone to a task of another project
        is_known = version is not None and task_id in predictions.find(
            session, version.id, [task_id]
        )
        _, deadly = bury_dead(session, project_id, trials.liveness(context))
    if version is None or task is None or is_known:
        return
    scorer = Scorer(context, project, version)
    if task_id in deadly:
        scorer.set_aside(task)
        return
    for _ in scorer.score([task], time.monotonic() + TASK_S, on_image):
        pass


class Scorer:
    """A champion with its warm networks, ready for one task after the other."""

    def __init__(self, context: AppContext, project: ProjectRow, version: VersionRow) -> None:
        self._context = context
        self._project = project
        self._version = version
        self._settings = project.settings
        self._config: LabelConfig = label_config_of(project, self._settings)
        self._images = TaskImages(context, self._config)
        values = read_version(Path(version.path)).class_values
        with context.store.begin() as session:
            reused = reused_names(session, project, version)
            labelled = embeddings.of_labelled(session, project.id)
        self._looks: LabelledLooks | None = None
        if labelled is not None and len(labelled) >= FEWEST:
            self._looks = LabelledLooks(labelled)
        self._known = without(self._config, reused)
        self._labels = labels_of_version(self._known, version, values)
        self._calibration = calibration_of(version)
        self._postprocessing = read_postprocessing(Path(version.path))
        self._predictor = warm_predictor(context.settings, self._settings, Path(version.path))

    def score(
        self,
        tasks: Sequence[TaskRow],
        until: float = math.inf,
        on_image: Callable[[], None] | None = None,
    ) -> Iterator[TaskRow]:
        """Predicts tasks and stores each answer, or the reason why there is none.

        Args:
            tasks: Which.
            until: ``time.monotonic()`` until which images are waited for; those that have not come
                by then go on coming, for the next call.
            on_image: Called from another thread when such an image is there.

        Yields:
            Each task once its answer is stored.

        Raises:
            LabelStudioError: Label Studio does not answer: no fault of a task.
        """
        portions = iter([tasks])
        arrivals = self._images.arrivals(lambda: next(portions, ()), until)
        with closing(self._scored(arrivals)) as scored:
            for task in scored:
                if task is None:
                    break
                yield task
            if on_image is not None:
                for _, image in arrivals.under_way():
                    image.add_done_callback(partial(_call, on_image))

    def pool(self, key: Hashable, left_out: Collection[int]) -> OpenPool:
        """The scoring of everything that the version has not seen, but some tasks."""
        tasks = UnscoredTasks(self._context, self._project.id, self._version.id, left_out)
        arrivals = self._images.arrivals(tasks, -math.inf)
        return OpenPool(key, arrivals, self._scored(arrivals))

    def _scored(self, arrivals: Arrivals) -> Scored:
        """Predicts what arrives; the next images are fetched and prepared meanwhile.

        Whichever comes first is predicted first.
        """
        try:
            while not arrivals.is_over:
                if not arrivals.wait():
                    if not arrivals.is_over:
                        yield None
                    continue
                with closing(
                    self._predictor.predict_stream(arrivals, arrivals.image, with_views=True)
                ) as stream:
                    for task, found in stream:
                        image_hash = self._images.content_of(task)
                        arrivals.done(task)
                        self._store(task, found, image_hash)
                        yield task
        finally:
            arrivals.close()
            at_work = arrivals.under_way() if stop_requested() else []
            self._images.end([*arrivals.left_over(), *(task.id for task, _ in at_work)])

    def set_aside(self, task: TaskRow) -> None:
        """Stores that a task is not tried again by itself, because workers died at it."""
        fault = fault_of(task.id, trials.deadly_error(task.id))
        self._save_fault(task, fault, is_last=True)

    def _store(self, task: TaskRow, found: Future[FoldMaps], image_hash: str) -> None:
        try:
            row, note = self._prediction(task, found.result())
            row.image_hash = image_hash
            with self._context.store.begin() as session:
                _save(session, task, row)
                projects.resolve_problems(session, self._project.id, "score", task_id=task.id)
                if note is not None:
                    problems.tell(
                        session,
                        self._project.id,
                        "score",
                        projects.Fault(note.reason, note.message, note.remedy),
                        task_id=task.id,
                    )
                end_trials(session, [task.id])
        except Exception as error:  # noqa: BLE001 - what is no fault of the task is raised
            self._save_fault(task, fault_of(task.id, error))

    def _save_fault(self, task: TaskRow, fault: LeftOut, *, is_last: bool = False) -> None:
        with self._context.store.begin() as session:
            old = predictions.find(session, self._version.id, [task.id]).get(task.id)
            attempts = (old.attempts if old is not None else 0) + 1
            not_before = None if is_last else predictions.next_try(attempts)
            remedy = fault.remedy
            if not_before is None and not is_last:
                remedy = f"{remedy} {RETRY_REMEDY}".strip()
            row = PredictionRow(
                project_id=self._project.id,
                task_id=task.id,
                version_id=self._version.id,
                error=f"{fault.message} {remedy}",
                attempts=attempts,
                not_before=not_before,
            )
            _save(session, task, row)
            problems.tell(
                session,
                self._project.id,
                "score",
                projects.Fault(fault.reason, fault.message, remedy),
                task_id=task.id,
            )
            if not is_last:
                end_trials(session, [task.id])
        logger.warning("Project %d: %s", self._project.id, row.error)

    def _prediction(self, task: TaskRow, maps: FoldMaps) -> tuple[PredictionRow, LeftOut | None]:
        """The prediction of a task, and what of it does not go out."""
        labels, mean = self._labels, maps.room()

        def averaged() -> Iterator[FoldProbabilities]:
            for rows, block in maps.blocks():
                block.mean(axis=0, out=mean[:, rows])
                yield labels.merged(block)

        views = (seen if seen is None else labels.merged(seen) for seen in maps.views())
        measures = measure_image(averaged(), labels.names_as_trained, views)
        expected = self._calibration.expected(measures)
        score = expected.score
        postprocessed(mean, self._postprocessing)
        labels.merge(mean)
        # One that is no number would pass for background everywhere, on which all folds agree.
        if not math.isfinite(float(mean.sum())):
            raise PredictionError(
                "Its prediction is no number.",
                remedy="The version's weights may be broken: train again, or roll back.",
            )
        smallest = int(self._settings.min_region_area_px)
        label_map = most_probable(mean)
        kept_from, n_parts = area_that_keeps(label_map, labels.integers, MOST_PARTS)
        regions = vectorize(
            mean,
            labels.integers,
            iou_target=self._settings.polygon_overlap,
            iou_floor=min(DEFAULT_LIMITS.iou_floor, self._settings.polygon_overlap),
            vertex_budget=self._settings.vertex_budget,
            min_area_px=max(smallest, kept_from),
        )
        seen = self._version.metrics.cases_of_class
        reason = why(measures, seen, is_unlike=self._is_unlike(task))
        drawn = with_reason(inner_last(regions), reason, labels.names_as_trained)
        size_hw = (int(mean.shape[1]), int(mean.shape[2]))
        result = labels.as_trained(regions_to_result(drawn, labels.config, size_hw, score=score))
        shown, lost = as_shown(result, self._known.group)
        faults = [] if lost else validate_prediction(self._config, shown, score=score)
        if faults:
            raise PredictionError(
                f"Label Studio would drop the prediction: {faults[0]}",
                remedy="Check that the labelling interface still has the labels trained on.",
            )
        row = PredictionRow(
            project_id=self._project.id,
            task_id=task.id,
            version_id=self._version.id,
            score=score,
            score_low=expected.low,
            score_high=expected.high,
            measures=measures,
            result=result,
            held=why_held(lost, self._config),
        )
        return row, too_many(task, n_parts, len(regions)) if kept_from > smallest else None

    def _is_unlike(self, task: TaskRow) -> bool:
        """Whether the image is unlike anything labelled, as far as embeddings are there."""
        if self._looks is None:
            return False
        with self._context.store.read() as session:
            embedding = embeddings.of_task(session, self._project.id, task.id)
        return embedding is not None and self._looks.is_unlike(embedding)


def _save(session: Session, task: TaskRow, row: PredictionRow) -> None:
    """Writes a prediction with the identity of what it was made from."""
    row.source = task.source
    if not row.image_hash:
        # Of what could not be read nobody can tell.
        now = session.get(TaskRow, task.id)
        row.image_hash = now.image_hash if now is not None else ""
    predictions.save(session, row)


def _call(on_image: Callable[[], None], _image: object) -> None:
    on_image()

"""Scores the pool: fold probabilities, polygons, uncertainty and score of unlabelled tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import numpy as np

from active_learning.score import expected_quality
from active_learning.uncertainty import mutual_information, predictive_entropy
from backend.pipeline.annotations import label_config_of
from backend.pipeline.context import AppContext
from backend.pipeline.devices import warm_predictor
from backend.pipeline.held import why_held
from backend.pipeline.images import load_image
from backend.pipeline.version_labels import labels_of_version
from backend.queue import stop_requested
from backend.store import predictions, projects, versions
from backend.store.models import PredictionRow, ProjectRow, TaskRow, VersionRow
from converters.relabel import in_present_names
from converters.results import regions_to_result, validate_prediction
from converters.simplify import Simplification
from converters.vectorize import vectorize
from domain.errors import PredictionError, TaskError
from domain.labels import LabelConfig
from domain.prediction import FoldProbabilities
from training.nnunet.inference.postprocessing import postprocessed
from training.postprocessing import read_postprocessing
from training.versions import read_version

logger = logging.getLogger(__name__)

# A scoring job hands the worker back after this time, so that an annotator who opens an unscored
# task waits no longer than this before the prediction of that task begins.
CHUNK_S = 3.0
CHUNK_TASKS = 64
DEFAULT_LIMITS = Simplification()


def score_chunk(context: AppContext, project_id: int) -> bool:
    """Scores unlabelled tasks for a few seconds; returns whether some are left."""
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        version = versions.champion(session, project_id)
        tasks = (
            predictions.unscored_tasks(session, project_id, version.id, CHUNK_TASKS)
            if version
            else []
        )
    if version is None or not tasks:
        return False
    if not stop_requested():
        started = time.monotonic()
        with closing(Scorer(context, project, version).score(tasks)) as scored:
            for _ in scored:
                if stop_requested() or time.monotonic() - started > CHUNK_S:
                    break
    with context.store.begin() as session:
        return bool(predictions.unscored_tasks(session, project_id, version.id, 1, retry=False))


def score_task(context: AppContext, project_id: int, task_id: int) -> None:
    """Scores one task with the champion, whatever its state; nothing without a champion."""
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        version = versions.champion(session, project_id)
        task = session.get(TaskRow, task_id)
        is_known = version is not None and task_id in predictions.find(
            session, version.id, [task_id]
        )
    if version is not None and task is not None and not is_known:
        for _ in Scorer(context, project, version).score([task]):
            pass


class Scorer:
    """A champion with its warm networks, ready for one task after the other."""

    def __init__(self, context: AppContext, project: ProjectRow, version: VersionRow) -> None:
        self._context = context
        self._project = project
        self._version = version
        self._settings = projects.settings_of(project)
        self._config: LabelConfig = label_config_of(project, self._settings)
        values = read_version(Path(version.path)).class_values
        self._labels = labels_of_version(self._config, version, values)
        self._postprocessing = read_postprocessing(Path(version.path))
        self._predictor = warm_predictor(context.settings, self._settings, Path(version.path))

    def score(self, tasks: Iterable[TaskRow]) -> Generator[TaskRow, None, None]:
        """Predicts tasks and stores each answer, or the reason why there is none.

        The images of the next tasks are fetched and prepared while the networks run.

        Yields:
            Each task once its answer is stored.

        Raises:
            LabelStudioError: Label Studio does not answer: no fault of a task.
        """
        client, config = self._context.label_studio, self._config
        stream = self._predictor.predict_stream(
            tasks, lambda task: load_image(client, task, config)
        )
        with closing(stream):
            for task, found in stream:
                self._store(task, found)
                yield task

    def _store(self, task: TaskRow, found: Future[FoldProbabilities]) -> None:
        try:
            row = self._prediction(task, found.result())
        except (TaskError, PredictionError) as error:
            message = f"{error} {error.remedy}".strip()
            logger.warning("Project %d: %s", self._project.id, message)
            row = PredictionRow(
                project_id=self._project.id,
                task_id=task.id,
                version_id=self._version.id,
                error=message,
            )
        with self._context.store.begin() as session:
            predictions.save(session, row)
            projects.resolve_problems(session, self._project.id, "score", task_id=task.id)
            if row.error:
                projects.report_problem(
                    session, self._project.id, "score", "task", row.error, task_id=task.id
                )

    def _prediction(self, task: TaskRow, probabilities: FoldProbabilities) -> PredictionRow:
        labels = self._labels
        mean = labels.merged(postprocessed(probabilities.mean(axis=0), self._postprocessing))
        score = expected_quality(labels.merged(probabilities))
        regions = vectorize(
            mean,
            labels.integers,
            iou_target=self._settings.polygon_overlap,
            iou_floor=min(DEFAULT_LIMITS.iou_floor, self._settings.polygon_overlap),
            vertex_budget=self._settings.vertex_budget,
            min_area_px=int(self._settings.min_region_area_px),
        )
        size_hw = (int(mean.shape[1]), int(mean.shape[2]))
        result = labels.as_trained(regions_to_result(regions, labels.config, size_hw, score=score))
        shown, lost = in_present_names(result, self._config.group)
        faults = [] if lost else validate_prediction(self._config, shown, score=score)
        if faults:
            raise PredictionError(
                f"Task {task.id}: Label Studio would drop the prediction: {faults[0]}",
                remedy="Check that the labelling interface still has the labels trained on.",
            )
        return PredictionRow(
            project_id=self._project.id,
            task_id=task.id,
            version_id=self._version.id,
            score=score,
            result=result,
            held=why_held(lost),
            uncertainty={
                "fold_disagreement": 1.0 - score,
                "predictive_entropy": float(np.mean(predictive_entropy(probabilities))),
                "mutual_information": float(np.mean(mutual_information(probabilities))),
            },
        )

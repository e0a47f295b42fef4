"""Scores the pool: fold probabilities, polygons, uncertainty and score of unlabelled tasks."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from active_learning.score import expected_quality
from active_learning.uncertainty import mutual_information, predictive_entropy
from backend.pipeline.context import AppContext
from backend.pipeline.devices import prediction_device
from backend.pipeline.images import load_image
from backend.queue import stop_requested
from backend.store import predictions, projects, runs
from backend.store.models import PredictionRow, ProjectRow, TaskRow, VersionRow
from converters.label_config import parse_label_config
from converters.results import regions_to_result, validate_prediction
from converters.simplify import Simplification
from converters.vectorize import vectorize
from domain.errors import PredictionError, TaskError
from domain.labels import LabelClass, LabelConfig
from training.nnunet.predictor import FoldPredictor, load_cached
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
        version = runs.champion(session, project_id)
        tasks = (
            predictions.unscored_tasks(session, project_id, version.id, CHUNK_TASKS)
            if version
            else []
        )
    if version is None or not tasks:
        return False
    scorer = Scorer(context, project, version)
    started = time.monotonic()
    for task in tasks:
        if stop_requested() or time.monotonic() - started > CHUNK_S:
            break
        scorer.score(task)
    with context.store.begin() as session:
        return bool(predictions.unscored_tasks(session, project_id, version.id, 1, retry=False))


def score_task(context: AppContext, project_id: int, task_id: int) -> None:
    """Scores one task with the champion, whatever its state; nothing without a champion."""
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        version = runs.champion(session, project_id)
        task = session.get(TaskRow, task_id)
        is_known = version is not None and task_id in predictions.find(
            session, version.id, [task_id]
        )
    if version is not None and task is not None and not is_known:
        Scorer(context, project, version).score(task)


class Scorer:
    """A champion with its warm networks, ready for one task after the other."""

    def __init__(self, context: AppContext, project: ProjectRow, version: VersionRow) -> None:
        self._context = context
        self._project = project
        self._version = version
        self._config: LabelConfig = parse_label_config(project.label_config)
        self._trained = _as_trained(self._config, read_version(Path(version.path)).class_values)
        self._predictor: FoldPredictor = load_cached(Path(version.path), device=prediction_device())
        self._settings = projects.settings_of(project)

    def score(self, task: TaskRow) -> None:
        """Predicts a task and stores the answer, or the reason why there is none."""
        try:
            row = self._predict(task)
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

    def _predict(self, task: TaskRow) -> PredictionRow:
        image = load_image(self._context.label_studio, task, self._config)
        probabilities = self._predictor.predict(image)
        mean = probabilities.mean(axis=0)
        score = expected_quality(probabilities)
        regions = vectorize(
            mean,
            [c.index for c in self._trained.group.classes],
            iou_target=self._settings.polygon_overlap,
            iou_floor=min(DEFAULT_LIMITS.iou_floor, self._settings.polygon_overlap),
            vertex_budget=self._settings.vertex_budget,
            min_area_px=int(self._settings.min_region_area_px),
        )
        size_hw = (int(image.shape[0]), int(image.shape[1]))
        result = regions_to_result(regions, self._trained, size_hw, score=score)
        faults = validate_prediction(self._config, result, score=score)
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
            uncertainty={
                "fold_disagreement": 1.0 - score,
                "predictive_entropy": float(np.mean(predictive_entropy(probabilities))),
                "mutual_information": float(np.mean(mutual_information(probabilities))),
            },
        )


def _as_trained(config: LabelConfig, class_values: tuple[str, ...]) -> LabelConfig:
    """The labelling interface with the integers of a version, less the labels it lost since.

    A label added, removed or moved in Label Studio shifts the integers; the version keeps its own.
    """
    classes = tuple(
        LabelClass(index, value)
        for index, value in enumerate(class_values, start=1)
        if config.group.class_by_value(value) is not None
    )
    return replace(config, group=replace(config.group, classes=classes))

"""Versions and the predictions they have pushed, without networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from active_learning.measures import ClassMeasures, ImageMeasures
from backend.label_studio import PushedPrediction
from backend.pipeline.sync.reading import sync_project
from backend.store.models import PredictionRow, TaskRow, VersionRow
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks import predictions
from domain.case import ManifestEntry, case_id_of_task
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from training.presets import TINY
from training.versions.manifests import FoldStart, RunManifest

N_FOLDS = 2


def measures(soft_dice: float = 0.9, n_folds: int = N_FOLDS) -> ImageMeasures:
    lumen = ClassMeasures(0.2, 0.99, soft_dice, 0.9)
    return ImageMeasures(n_folds, soft_dice, 0.9, 0.1, 0.2, 0.01, 0.02, {"lumen": lumen})


def manifest_of(
    entries: Sequence[ManifestEntry] = (),
    classes: tuple[str, ...] = ("lumen", "wall"),
    **values: Any,
) -> RunManifest:
    """Of a run whose folds began with fresh weights."""
    return RunManifest(
        entries=tuple(entries),
        class_values=classes,
        n_folds=N_FOLDS,
        preset=TINY,
        starts=tuple(FoldStart(seed=k) for k in range(N_FOLDS)),
        **values,
    )


def add_version(app: FakeApp, number: int = 1, manifest: RunManifest | None = None) -> int:
    return app.add_version(number, manifest=manifest or manifest_of())


def predict(
    app: FakeApp, version: int, task_id: int, *regions: dict[str, Any], **values: Any
) -> int | None:
    """A prediction of a task that was read, made long ago; its id in Label Studio.

    None for one that Label Studio does not hold: with an ``error``, or with ``published_at`` None.
    """
    with app.store.begin() as session:
        name = session.get_one(VersionRow, version).name
        task = session.get_one(TaskRow, task_id)
        row = PredictionRow(
            project_id=PROJECT,
            task_id=task_id,
            version_id=version,
            result=list(regions),
            source=task.source,
            **{
                "score": 0.8,
                "measures": measures(),
                "published_at": None if values.get("error") else 1.0,
                "created_at": 1.0,
                **values,
            },
        )
        predictions.save(session, row)
        if row.published_at is None:
            return None
        pushed = PushedPrediction(task_id, list(regions), row.score, name)
    app.label_studio.import_predictions(PROJECT, [pushed])
    return app.label_studio.predictions[-1].id


def pool(app: FakeApp, *task_ids: int, **data: Any) -> None:
    """Tasks nobody has labelled, read."""
    for task_id in task_ids:
        app.label_studio.add_task(task_id, **data)
    sync_project(app.context, PROJECT)


def entry_of(app: FakeApp, task_id: int, **values: Any) -> ManifestEntry:
    """A task as a case that something was trained on."""
    with app.store.begin() as session:
        task = session.get_one(TaskRow, task_id)
    case_id = case_id_of_task(task_id, task.source)
    rest = {"group": case_id_of_task(task_id), "fold": 0, "source": task.source, **values}
    return ManifestEntry(case_id, task_id, 1, "", **rest)


def pairs(app: FakeApp) -> dict[int, HonestPairRow]:
    """By task id."""
    with app.store.begin() as session:
        return {row.task_id: row for row in session.scalars(select(HonestPairRow))}


SQUARE, HALF = polygon("lumen"), polygon("lumen", size=20.0)
"""HALF is a quarter of the area: Dice 2 * 1 / (4 + 1)."""

"""Runs prepared on what a Label Studio in memory holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.pipeline.cases.prepare import prepare_run
from backend.pipeline.sync.reading import sync_project
from backend.settings import ProjectSettings
from backend.store.training import runs
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import FakeLabelStudio, polygon
from training.versions.manifests import RunManifest

SETTINGS = ProjectSettings(preset="tiny", n_folds=2, min_annotations=1000).model_dump(mode="json")


def label(label_studio: FakeLabelStudio, *task_ids: int, **data: Any) -> None:
    """New tasks with a region of each class."""
    for task_id in task_ids:
        label_studio.add_task(task_id, **data)
        label_studio.label(task_id, polygon("lumen"), polygon("wall", at=65, size=20))


def prepare(app: FakeApp, **settings: object) -> RunManifest:
    """A run on what Label Studio holds now; returns its manifest."""
    app.change_settings(**SETTINGS)
    return prepare_with(app, lambda: {**SETTINGS, **settings})


def prepare_with(app: FakeApp, settings_of_run: Callable[[], Any]) -> RunManifest:
    """The same with settings that are asked for once the project is read."""
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        last = runs.last_run(session, PROJECT)
        number = last.number + 1 if last else 1
    run_id = app.add_run(RunStatus.PREPARING, number, settings=settings_of_run())
    try:
        prepare_run(app.context, run_id, lambda: None)
    finally:
        with app.store.begin() as session:
            session.merge(app.run(run_id)).status = RunStatus.DONE
    manifest = app.run(run_id).manifest
    assert manifest is not None
    return manifest


def folds_of(manifest: RunManifest) -> dict[int, int]:
    """Task id -> fold."""
    return {row.task_id: row.fold for row in manifest.entries}

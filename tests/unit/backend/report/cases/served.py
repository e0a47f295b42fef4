"""A version in a real store with cases it held out, and tasks it has scored."""

from __future__ import annotations

from typing import Any

from backend.pipeline.basis.annotations import label_config_of, reading_of
from backend.pipeline.cases.manifests import hash_of_label
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks import snapshots
from domain.case import ManifestEntry, case_id_of_task
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.quality.pushed import manifest_of
from training.versions.metrics import VersionMetrics

N_LABELLED, UNLABELLED = 4, (11, 12)


def serve(app: FakeApp, **version: Any) -> None:
    """Tasks 1 to 4 held out, task 2 the worst; 11 and 12 scored, 12 the lower."""
    app.change_settings(min_annotations=10_000)
    for task_id in range(1, N_LABELLED + 1):
        app.label_studio.add_task(task_id)
        app.label_studio.label(task_id, polygon("lumen"))
    for task_id in UNLABELLED:
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        reading = reading_of(label_config_of(project, project.settings), project.settings)
        labels = snapshots.chosen_hashes(session, PROJECT, project.settings.annotator_policy)
        entries = [
            ManifestEntry(
                case_id_of_task(task_id, one.source),
                task_id,
                one.annotation_id,
                hash_of_label(one.content_hash, reading),
                str(task_id),
                task_id % 2,
                (),
                one.source,
            )
            for task_id, one in labels.items()
        ]
    dice: dict[str, dict[str, float | None]] = {
        one.case_id: {"lumen": 0.1 if one.task_id == 2 else 0.5 + 0.1 * one.task_id}
        for one in entries
    }
    metrics = VersionMetrics(labels=len(entries), dice_per_case=dice)
    version_id = app.add_version(manifest=manifest_of(entries), metrics=metrics, **version)
    with app.store.begin() as session:
        for task_id in UNLABELLED:
            session.add(
                PredictionRow(
                    project_id=PROJECT,
                    task_id=task_id,
                    version_id=version_id,
                    score=1.0 - task_id / 100,
                    source=session.get_one(TaskRow, task_id).source,
                )
            )

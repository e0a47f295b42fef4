"""A project with labels, and a version that doubts some of them, without networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend.pipeline.doubts.keep import keep_doubts
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import TaskRow, VersionRow
from backend.store.tasks import snapshots
from domain.case import ManifestEntry, case_id_of_task
from domain.doubts import Doubt, DoubtKind, DoubtsPerCase
from domain.hashing import content_hash
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.quality.pushed import manifest_of

BOX = (10, 20, 30, 40)
N_LABELS = 30
ANNA = 7


def wrong(strength: float = 0.8, *, label: int = 2, other: int = 1) -> Doubt:
    """Of the classes lumen (1) and wall (2)."""
    return Doubt(DoubtKind.WRONG_CLASS, strength, label, other, BOX)


def label_all(app: FakeApp, n: int = N_LABELS, **values: Any) -> None:
    """Labels tasks 1 to n as Anna, and reads them."""
    settings = {"min_annotations": 10_000, **values}
    app.change_settings(**settings)
    for task_id in range(1, n + 1):
        app.label_studio.add_task(task_id)
        app.label_studio.label(task_id, polygon("wall"), by=ANNA)
    sync_project(app.context, PROJECT)


def change(app: FakeApp, task_id: int, **values: object) -> None:
    """Saves a task's newest annotation again, with some values changed."""
    task = app.label_studio.tasks[task_id]
    before, newest = task.annotations[:-1], task.annotations[-1]
    saved = replace(newest, updated_at="2026-02-02T00:00:00Z", **values)  # type: ignore[arg-type]
    app.label_studio.tasks[task_id] = replace(task, annotations=(*before, saved))


def entries(app: FakeApp) -> list[ManifestEntry]:
    """The labels as a manifest has them."""
    with app.store.begin() as session:
        policy = projects.get(session, PROJECT).settings.annotator_policy
        found = snapshots.chosen_hashes(session, PROJECT, policy)
        rows = {task_id: session.get_one(TaskRow, task_id) for task_id in found}
    return [
        ManifestEntry(
            case_id_of_task(task_id, one.source),
            task_id,
            one.annotation_id,
            # Not the annotations' own, as in a run: settings have their part in it.
            content_hash([one.content_hash, "reading"]),
            str(task_id),
            task_id % 2,
            (),
            one.source,
            rows[task_id].image_hash,
        )
        for task_id, one in found.items()
    ]


def doubt(
    app: FakeApp, number: int = 1, of: Mapping[int, Sequence[Doubt]] | None = None, **manifest: Any
) -> int:
    """A version that has been trained on what is labelled, and doubts some of it; its id."""
    found = entries(app)
    version_id = app.add_version(number, manifest=manifest_of(found, **manifest))
    doubts: DoubtsPerCase = {one.case_id: tuple((of or {}).get(one.task_id, ())) for one in found}
    with app.store.begin() as session:
        version = session.get_one(VersionRow, version_id)
        dice: dict[str, dict[str, float | None]] = {case_id: {"wall": 0.9} for case_id in doubts}
        version.metrics = replace(version.metrics, dice_per_case=dice)
        policy = projects.get(session, PROJECT).settings.annotator_policy
        labels = snapshots.chosen_hashes(session, PROJECT, policy)
        keep_doubts(session, version, manifest_of(found, **manifest), labels, doubts)
    return version_id

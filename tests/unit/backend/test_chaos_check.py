"""What ``benchmarks.chaos`` counts: each fault is found, so that none means none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.sync.reading import sync_project
from backend.store.models import (
    AnnotationRow,
    FoldRow,
    InboxRow,
    PredictionRow,
    ProjectRow,
    RunRow,
    TaskRow,
    TrialRow,
)
from backend.store.tasks import snapshots
from benchmarks.chaos.check import Found, check
from domain.case import Manifest, ManifestEntry
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import polygon
from training.folds.spec import PROGRESS


@pytest.fixture
def well(app: FakeApp) -> FakeApp:
    """Tasks 1 and 2 are labelled and were trained on, 3 has a prediction of the serving version."""
    studio = app.label_studio
    for task_id in (1, 2, 3):
        studio.add_task(task_id)
    annotations = [studio.label(task_id, polygon()) for task_id in (1, 2)]
    sync_project(app.context, PROJECT)
    version = app.add_version(1, published_at=1.0)
    with app.store.begin() as session:
        run = session.query(RunRow).one()
        policy = session.get_one(ProjectRow, PROJECT).settings.annotator_policy
        run.candidates = snapshots.chosen_hashes(session, PROJECT, policy)
        entries = tuple(
            ManifestEntry(
                case_id=f"case_{task_id}",
                task_id=task_id,
                annotation_id=annotation,
                content_hash="",
                group=str(task_id),
                fold=0,
                source=session.get_one(TaskRow, task_id).source,
            )
            for task_id, annotation in zip((1, 2), annotations, strict=True)
        )
        run.manifest = run_manifest(Manifest(entries, n_folds=2))
        task = session.get_one(TaskRow, 3)
        session.add(
            PredictionRow(project_id=PROJECT, task_id=3, version_id=version, source=task.source)
        )
    studio.predictions.append(PushedPrediction(3, [], 0.5, "nnloop-v1"))
    return app


def _counts(found: Found) -> tuple[int, int, int, int]:
    return len(found.lost), len(found.doubled), len(found.stuck), len(found.stale)


def test_where_all_is_well_nothing_is_counted(well: FakeApp) -> None:
    found = check(well.context, PROJECT)
    assert (found.lost, found.doubled, found.stuck, found.stale) == ([], [], [], [])
    assert (found.n_annotations, found.n_entries, found.n_predictions) == (2, 2, 1)


def _edit(well: FakeApp) -> None:
    studio = well.label_studio
    studio.update_annotation(studio.tasks[1].annotations[0].id, [polygon("wall")])


def _forget(well: FakeApp) -> None:
    with well.store.begin() as session:
        session.query(AnnotationRow).filter_by(task_id=1).one().removed_at = 1.0


def _delete(well: FakeApp) -> None:
    with well.store.begin() as session:
        session.get_one(TaskRow, 3).source = "another image under the id"


def _push_twice(well: FakeApp) -> None:
    well.label_studio.predictions *= 2


def _push_nothing(well: FakeApp) -> None:
    well.label_studio.predictions.clear()


def _push_of_before(well: FakeApp) -> None:
    well.label_studio.predictions.append(PushedPrediction(3, [], 0.5, "nnloop-v0"))


def _leave_a_hint(well: FakeApp) -> None:
    with well.store.begin() as session:
        session.add(InboxRow(project_id=PROJECT, action="X"))


def _fail_a_run(well: FakeApp) -> None:
    well.add_run(RunStatus.FAILED, 2)


def _leave_a_lease(well: FakeApp) -> None:
    with well.store.begin() as session:
        run = session.query(RunRow).one()
        session.add(FoldRow(run_id=run.id, fold=0, lease_until=5.0))


def _leave_a_trial(well: FakeApp) -> None:
    with well.store.begin() as session:
        session.add(TrialRow(task_id=3, project_id=PROJECT))


def _serve_nothing(well: FakeApp) -> None:
    with well.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).champion_id = None
        session.query(PredictionRow).delete()
    well.label_studio.predictions.clear()


def _train_epochs_again(well: FakeApp) -> None:
    folder = well.context.workspace(PROJECT).fold_dir(1, 0)
    folder.mkdir(parents=True)
    lines = [f'{{"epoch": {epoch}}}' for epoch in (1, 2, 3, 4)] + ['{"epo']
    lines += [f'{{"epoch": {epoch}}}' for epoch in (2, 3, 4, 5)]
    (folder / PROGRESS).write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_edit, (1, 0, 0, 0)),
        (_forget, (1, 0, 0, 1)),  # the run's candidate is none any more
        (_delete, (0, 0, 0, 1)),  # its prediction is of another image
        (_push_twice, (0, 1, 0, 0)),
        (_push_nothing, (1, 0, 0, 0)),
        (_push_of_before, (0, 0, 0, 2)),
        (_leave_a_hint, (0, 0, 1, 0)),
        (_fail_a_run, (0, 0, 1, 0)),
        (_leave_a_lease, (0, 0, 1, 0)),
        (_leave_a_trial, (0, 0, 1, 0)),
        (_serve_nothing, (0, 0, 1, 0)),
        (_train_epochs_again, (0, 1, 0, 0)),
    ],
)
def test_each_fault_is_found(
    well: FakeApp, spoil: Callable[[FakeApp], None], expected: tuple[int, int, int, int]
) -> None:
    spoil(well)
    assert _counts(check(well.context, PROJECT)) == expected

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.pipeline.runs import upkeep
from backend.pipeline.runs.old_files import forget_files
from backend.pipeline.sync.reading import sync_project
from backend.store.models import PredictionRow, ProjectRow, RunRow, TaskRow, VersionRow
from backend.store.tasks import old_rows
from backend.store.tasks.embeddings import EmbeddingRow
from domain.annotation import AnnotatedTask
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon

NOW = time.time()
LONG_AGO = NOW - old_rows.KEPT_S - 60


def _predict(app: FakeApp, version_id: int, *task_ids: int, published_at: float | None) -> None:
    with app.store.begin() as session:
        session.add_all(
            PredictionRow(
                project_id=PROJECT,
                task_id=task_id,
                version_id=version_id,
                published_at=published_at,
            )
            for task_id in task_ids
        )


def _left(app: FakeApp) -> dict[int, list[int]]:
    """Version -> the tasks of its predictions."""
    found: dict[int, list[int]] = {}
    with app.store.begin() as session:
        query = select(PredictionRow).order_by(PredictionRow.task_id)
        for row in session.scalars(query):
            found.setdefault(row.version_id, []).append(row.task_id)
    return found


def _set(app: FakeApp, version_id: int, pruned_at: float | None) -> None:
    with app.store.begin() as session:
        session.get_one(VersionRow, version_id).pruned_at = pruned_at


def test_predictions_of_pruned_versions_go_where_nobody_has_annotated(app: FakeApp) -> None:
    old, fresh, serving = (app.add_version(n) for n in (1, 2, 3))
    for task_id in (1, 2, 3, 4):
        app.label_studio.add_task(task_id)
    app.label_studio.label(2, polygon())
    app.label_studio.label(3, was_cancelled=True)
    app.label_studio.label(4, polygon())
    sync_project(app.context, PROJECT)
    app.label_studio.unlabel(4)  # and takes it back: it may have begun with a prediction
    sync_project(app.context, PROJECT)
    for version in (old, fresh, serving):
        _predict(app, version, 1, 2, 3, 4, published_at=None)
    _set(app, old, LONG_AGO)
    _set(app, fresh, NOW)
    assert upkeep.forget_old(app.context, NOW) == 1
    assert _left(app) == {old: [2, 3, 4], fresh: [1, 2, 3, 4], serving: [1, 2, 3, 4]}
    assert upkeep.forget_old(app.context, NOW) == 0


def test_what_label_studio_may_hold_stays(app: FakeApp) -> None:
    old = app.add_version(1)
    app.add_tasks(1, 2)
    _predict(app, old, 1, published_at=NOW)
    _predict(app, old, 2, published_at=0.0)  # its score is to be sent
    _set(app, old, LONG_AGO)
    assert upkeep.forget_old(app.context, NOW) == 0
    assert _left(app) == {old: [1, 2]}


def test_of_deleted_tasks_all_goes_in_time(app: FakeApp) -> None:
    serving = app.add_version(1)
    app.add_tasks(1, 2, 3)
    _predict(app, serving, 1, 2, 3, published_at=None)
    with app.store.begin() as session:
        session.add(ProjectRow(id=2))
        for task_id, project_id in ((1, PROJECT), (2, PROJECT), (3, PROJECT), (3, 2), (77, 2)):
            session.add(EmbeddingRow(project_id=project_id, task_id=task_id, kind="k", vector=b"v"))
        session.get_one(TaskRow, 1).removed_at = LONG_AGO
        session.get_one(TaskRow, 2).removed_at = NOW
    assert upkeep.forget_old(app.context, NOW) == 1 + 3
    assert _left(app) == {serving: [2, 3]}
    with app.store.begin() as session:
        rows = session.scalars(select(EmbeddingRow)).all()
    assert sorted((row.project_id, row.task_id) for row in rows) == [(PROJECT, 2), (PROJECT, 3)]


def test_many_go_a_portion_at_a_time(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", 4)
    old = app.add_version(1)
    app.add_tasks(*range(1, 10))
    _predict(app, old, *range(1, 10), published_at=None)
    _set(app, old, LONG_AGO)
    assert [upkeep.forget_old(app.context, NOW) for _ in range(4)] == [4, 4, 1, 0]


def test_what_is_annotated_while_it_is_looked_for_stays(app: FakeApp) -> None:
    old = app.add_version(1)
    for task_id in (1, 2):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    _predict(app, old, 1, 2, published_at=None)
    _set(app, old, LONG_AGO)
    with app.store.read() as session:
        ids = old_rows.find_predictions(session, NOW, 10)
    assert len(ids) == 2
    app.label_studio.label(1, polygon())
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        old_rows.forget_predictions(session, ids)
    assert _left(app) == {old: [1]}


def test_candidates_of_runs_that_are_over_go_but_the_newest_stay(app: FakeApp) -> None:
    candidates = {7: AnnotatedTask(1, "h", "s")}
    ids = [
        app.add_run(status, number, candidates=candidates)
        for number, status in enumerate(
            (RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.DONE), start=1
        )
    ]
    with app.store.begin() as session:
        session.add(ProjectRow(id=2))
        other = RunRow(project_id=2, number=1, status=RunStatus.DONE, candidates=candidates)
        session.add(other)
    assert upkeep.forget_old(app.context, NOW) == 3
    assert [app.run(run_id).candidates for run_id in ids] == [{}, {}, {}, candidates]
    assert app.run(other.id).candidates == candidates
    assert upkeep.forget_old(app.context, NOW) == 0
    # The next one at work: what it was started for is needed until it is over.
    app.add_run(RunStatus.TRAINING, 5, candidates=candidates)
    assert upkeep.forget_old(app.context, NOW) == 1
    assert app.run(ids[-1]).candidates == {}


def _file(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (NOW - days * 86_400, NOW - days * 86_400))
    return path


def test_old_logs_and_what_killed_workers_left_go(app: FakeApp) -> None:
    app.add_run(RunStatus.DONE, 1)
    app.add_run(RunStatus.TRAINING, 2)
    workspace, logs = app.context.workspace(PROJECT), app.context.settings.data_dir / "logs"
    gone = [
        _file(logs / "web.log.3", 31),
        _file(logs / "trainer-9.log", 31),
        _file(workspace.fold_dir(1, 0) / "train.log", 31),
    ]
    kept = [
        _file(logs / "web.log", 29),
        _file(logs / "notes.txt", 400),
        _file(workspace.fold_dir(1, 0) / "progress.jsonl", 400),
        _file(workspace.fold_dir(2, 0) / "train.log", 400),
        _file(workspace.version_dir("nnloop-v1") / "version.json", 400),
    ]
    for name, days in ((".packing-1a", 2), (".importing-2b", 2), (".packing-new", 0)):
        draft = _file(workspace.models / name / "fold_0" / "checkpoint_final.pth", 400)
        os.utime(workspace.models / name, (NOW - days * 86_400, NOW - days * 86_400))
        (kept if name == ".packing-new" else gone).append(draft)
    assert forget_files(app.context, NOW) == 5
    assert [path.exists() for path in gone] == [False] * 5
    assert all(path.exists() for path in kept)
    assert forget_files(app.context, NOW) == 0

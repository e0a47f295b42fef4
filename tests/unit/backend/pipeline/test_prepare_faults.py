"""Faults of one task while cases are prepared leave out that task; those of all end the step."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from backend.pipeline.basis.annotations import label_map_of
from backend.pipeline.cases import write as cases_module
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import TaskRow, TrialRow
from domain.errors import DiskFullError, LabelStudioError, StackError
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.preparing import folds_of, label, prepare

pytestmark = pytest.mark.usefixtures("_no_preprocessing")

Faulty = Callable[[dict[int, Exception]], None]


@pytest.fixture
def fetch_with(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Makes the images of tasks fail."""
    fetch = app.label_studio.fetch_image

    def use(errors: dict[int, Exception]) -> None:
        def fail(uri: str, task_id: int, project_id: int, **more: Any) -> Any:
            if task_id in errors:
                raise errors[task_id]
            return fetch(uri, task_id, project_id, **more)

        monkeypatch.setattr(app.label_studio, "fetch_image", fail)

    return use


def test_whatever_goes_wrong_with_a_task_leaves_out_that_task(
    app: FakeApp, fetch_with: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(app.label_studio, 1, 2, 3, 4, 5, 6, 7)
    app.label_studio.add_task(7, np.ones((1, 500), np.uint8))
    app.label_studio.label(7)
    fetch_with({1: KeyError("location"), 2: UnicodeError("label\ntoo long"), 3: MemoryError()})

    def draw(annotations: Any, *args: Any) -> Any:
        if annotations[0].task_id == 4:
            raise ZeroDivisionError("a shape without area")
        return label_map_of(annotations, *args)

    monkeypatch.setattr(cases_module, "label_map_of", draw)
    manifest = prepare(app)
    assert set(folds_of(manifest)) == {5, 6, 7}
    assert {row.task_id: row.reason for row in manifest.left_out} == {
        1: "unexpected",
        2: "unexpected",
        3: "out_of_memory",
        4: "unexpected",
    }
    with app.store.begin() as session:
        problems = projects.open_problems(session, PROJECT)
        assert session.query(TrialRow).all() == []
    assert sorted(problem.task_id or 0 for problem in problems) == [1, 2, 3, 4]
    assert all(problem.remedy and "\n" not in problem.message for problem in problems)
    # The next run says the same, not more.
    prepare(app)
    with app.store.begin() as session:
        assert [p.id for p in projects.open_problems(session, PROJECT)] == [p.id for p in problems]


@pytest.mark.parametrize(
    "error",
    [
        LabelStudioError("Label Studio can't be reached."),
        StackError("Redis is gone."),
        DiskFullError("No room."),
        OSError(errno.ENOSPC, "No space left on device"),
        OperationalError("SELECT", {}, Exception("database is locked")),
    ],
)
def test_what_is_wrong_with_all_leaves_out_none(
    app: FakeApp, fetch_with: Faulty, error: Exception
) -> None:
    label(app.label_studio, 1, 2)
    fetch_with({2: error})
    with pytest.raises(type(error)):
        prepare(app)
    with app.store.begin() as session:
        assert projects.open_problems(session, PROJECT) == []


def test_a_task_at_which_workers_died_is_left_out(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
    with app.store.begin() as session:
        for task_id, deaths in ((1, 1), (2, 0)):
            session.add(
                TrialRow(
                    task_id=task_id,
                    project_id=PROJECT,
                    deaths=deaths,
                    worker="elsewhere/1/0.00/dead",
                )
            )
    # A row's source is that of its task, which the first reading gives.
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        for row in session.query(TrialRow).all():
            row.source = session.get_one(TaskRow, row.task_id).source
    manifest = prepare(app)
    assert set(folds_of(manifest)) == {2, 3}
    assert [row.reason for row in manifest.left_out] == ["kills_worker"]
    assert 1 not in app.label_studio.fetched

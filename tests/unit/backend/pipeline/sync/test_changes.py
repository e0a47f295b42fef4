"""Readings of what has changed alone, while the world changes under them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from backend.pipeline.sync import taking
from backend.pipeline.sync.reading import sync_project
from backend.store.models import TaskRow
from backend.store.tasks import snapshots
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.sync.changing import (
    agrees,
    change,
    hint,
    labels,
    read,
    row,
    settle,
    states,
)


def test_of_an_idle_project_no_task_is_read(settled: FakeApp) -> None:
    settled.label_studio.calls.clear()
    assert read(settled) == []
    assert settled.label_studio.calls.count("iter_tasks") == 1


def test_a_change_without_a_hint_is_read_alone_and_once_more(settled: FakeApp) -> None:
    settled.label_studio.label(4, polygon())
    assert read(settled) == [4]
    assert states(settled)[4] == TaskState.LABELLED
    assert read(settled) == [4]  # what was stored late may be older
    settle(settled)
    assert read(settled) == []


def test_a_change_that_is_stored_late_is_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    early = studio.stamp()
    studio.label(4, polygon())
    assert read(settled) == [4]
    # Label Studio took its time of a change of task 5 before, and stores it now.
    annotation = studio.label(5, polygon("wall"))
    studio.silently(replace(studio.tasks[5], updated_at=early))
    read(settled)
    assert labels(settled)[annotation] == "wall"


def test_a_change_on_a_page_that_was_read_already_is_read_next(app: FakeApp) -> None:
    studio = app.label_studio
    for task_id in range(1, 4):
        studio.add_task(task_id)
    done: list[int] = []

    def change_the_first() -> None:
        if 2 in studio.read and not done:
            done.append(studio.label(1, polygon()))
            studio.label(3, polygon())  # newer, and on a page that is still to come

    studio.while_reading = change_the_first
    sync_project(app.context, PROJECT)
    studio.while_reading = lambda: None
    agrees(app)
    # Also where the next reading comes much later, which changes what it starts from.
    annotation = studio.label(1, polygon("wall"))
    studio.label(2, polygon())
    change(app, seen_at=1.0)
    read(app)
    assert labels(app)[annotation] == "wall"


@pytest.mark.parametrize("is_told", [False, True])
def test_what_a_worker_that_stood_still_writes_late_is_read_again(
    settled: FakeApp, is_told: bool
) -> None:
    studio = settled.label_studio
    annotation = studio.label(4, polygon())
    if is_told:
        hint(settled, 4)

    def others_go_on() -> None:
        # It has the task as it was, and is frozen; another worker reads on meanwhile.
        studio.while_reading = lambda: None
        (drawn,) = studio.tasks[4].annotations
        again = replace(drawn, result=[polygon("wall")])
        studio.tasks[4] = replace(studio.tasks[4], annotations=(again,))
        read(settled)
        settle(settled)
        assert labels(settled)[annotation] == "wall"

    studio.while_reading = others_go_on
    read(settled)
    assert labels(settled)[annotation] == "lumen"
    read(settled)
    agrees(settled)
    settle(settled)
    assert read(settled) == []


def test_a_task_changed_in_the_tick_of_the_reading_is_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    studio.label(4, polygon())
    read(settled)
    tick = studio.tasks[4].updated_at
    annotation = studio.label(5, polygon("wall"))
    studio.silently(replace(studio.tasks[5], updated_at=tick))
    read(settled)
    assert labels(settled)[annotation] == "wall"


@pytest.mark.parametrize("is_hinted", [True, False])
def test_deleted_tasks_are_found(settled: FakeApp, is_hinted: bool) -> None:
    del settled.label_studio.tasks[3], settled.label_studio.tasks[1]
    if is_hinted:
        hint(settled, 3, 1, 3, 99, action="TASKS_DELETED")
    assert len(read(settled)) == 0
    agrees(settled)
    assert ("count_tasks" in settled.label_studio.calls) is False


def test_a_few_deleted_tasks_among_many_are_found_without_reading(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "LEAF", 4)
    for task_id in range(1, 201):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    settle(app)
    for task_id in (1, 77, 78, 200):
        del app.label_studio.tasks[task_id]
    assert read(app) == []
    agrees(app)
    for task_id in range(100, 160):
        del app.label_studio.tasks[task_id]
    assert read(app) == []
    agrees(app)


def test_many_deleted_tasks_here_and_there_lead_to_a_reading_of_all(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "LEAF", 2)
    monkeypatch.setattr(taking, "MOST_QUESTIONS", 10)
    for task_id in range(1, 101):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    settle(app)
    for task_id in range(1, 101, 7):
        del app.label_studio.tasks[task_id]
    assert len(read(app)) == 85
    agrees(app)


def test_the_last_task_is_deleted(app: FakeApp) -> None:
    app.label_studio.add_task(1)
    sync_project(app.context, PROJECT)
    settle(app)
    del app.label_studio.tasks[1]
    assert sync_project(app.context, PROJECT).tasks == 0
    app.label_studio.add_task(1)
    assert sync_project(app.context, PROJECT).tasks == 1


def test_of_a_project_without_tasks_the_first_one_is_found(app: FakeApp) -> None:
    for _ in range(3):
        assert sync_project(app.context, PROJECT).tasks == 0
    app.label_studio.add_task(1)
    app.label_studio.label(1, polygon())
    assert sync_project(app.context, PROJECT) == snapshots.SyncCounts(1, 1, 0, 1)


def test_a_reused_id_is_another_task(settled: FakeApp) -> None:
    studio = settled.label_studio
    with settled.store.begin() as session:
        before = session.get_one(TaskRow, 1).source
    del studio.tasks[1]
    studio.now = "2026-02-02T00:00:00.000000Z"
    studio.add_task(1, patient="new")
    hint(settled, 1, action="TASKS_DELETED")
    assert read(settled) == [1]
    agrees(settled)
    with settled.store.begin() as session:
        assert session.get_one(TaskRow, 1).source != before
    assert states(settled)[1] == TaskState.UNLABELLED


def test_one_deleted_and_one_made_leave_the_count_as_it_was(settled: FakeApp) -> None:
    del settled.label_studio.tasks[3]
    settled.label_studio.add_task(11)
    assert read(settled)[:1] == [11]
    agrees(settled)


def test_changed_data_are_read(settled: FakeApp) -> None:
    settled.label_studio.update_data(3, {"image": "/data/upload/other.png"})
    read(settled)
    with settled.store.begin() as session:
        row = session.get_one(TaskRow, 3)
        assert row.data["image"] == "/data/upload/other.png" and row.to_withdraw


@pytest.mark.parametrize("by", ["delete", "skip", "another"])
def test_annotations_that_change_without_a_time_are_found_by_their_number(
    settled: FakeApp, by: str
) -> None:
    studio = settled.label_studio
    task = studio.tasks[1]
    (annotation,) = task.annotations
    changed = {
        "delete": (),
        "skip": (replace(annotation, was_cancelled=True),),
        "another": (annotation, replace(annotation, id=900)),
    }[by]
    studio.silently(replace(task, annotations=changed))
    read(settled)
    agrees(settled)
    assert read(settled)[:1] != [1] or row(settled).doubt == ""


def test_annotations_moved_from_a_task_that_is_deleted_then_are_found(settled: FakeApp) -> None:
    # 'Remove duplicates' of Label Studio: the time of the task that keeps them does not change.
    studio = settled.label_studio
    (annotation,) = studio.tasks[1].annotations
    moved = replace(annotation, task_id=5)
    studio.silently(replace(studio.tasks[5], annotations=(moved,)))
    del studio.tasks[1]
    read(settled)
    agrees(settled)
    assert states(settled)[5] == TaskState.LABELLED


def test_what_a_hint_tells_of_is_read_whatever_its_time(settled: FakeApp) -> None:
    studio = settled.label_studio
    (annotation,) = studio.tasks[1].annotations
    changed = replace(annotation, result=[polygon("wall")])
    studio.silently(replace(studio.tasks[1], annotations=(changed,)))
    assert read(settled) == []  # nothing tells of it
    hint(settled, 1)
    hint(settled, 1)
    assert read(settled) == [1]
    agrees(settled)
    # Others may have changed as silently.
    assert row(settled).doubt == "something changed that no time tells of"
    assert len(read(settled)) == 10
    assert read(settled)[:1] != [1, 2, 3]


def test_what_nothing_tells_of_is_found_in_turn(settled: FakeApp) -> None:
    studio = settled.label_studio
    (annotation,) = studio.tasks[1].annotations
    changed = replace(annotation, result=[polygon("wall")])
    studio.silently(replace(studio.tasks[1], annotations=(changed,)))
    reread_s = settled.context.settings.reread_s
    change(settled, turned_at=time.time() - reread_s + 60.0)
    assert read(settled) == []
    change(settled, turned_at=time.time() - reread_s - 1.0)
    assert len(read(settled)) == 10
    agrees(settled)


def test_a_turn_goes_on_where_it_was(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.pipeline.sync.taking.PORTION", 4)
    monkeypatch.setattr("backend.pipeline.sync.reading.PORTION", 4)
    for task_id in range(1, 11):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    settle(app)
    turns = []
    for _ in range(4):
        change(app, turned_at=1.0)
        turns.append(read(app))
    assert turns == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], [1, 2, 3, 4]]
    # A portion is due in time for all of them to come in the time that is set.
    change(app, turned_at=time.time() - app.context.settings.reread_s * 4 / 10 + 5.0)
    assert read(app) == []
    change(app, turned_at=time.time() - app.context.settings.reread_s * 4 / 10 - 5.0)
    assert read(app) == [5, 6, 7, 8]

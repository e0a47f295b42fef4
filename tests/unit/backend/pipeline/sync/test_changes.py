"""Readings of what has changed alone, while the world changes under them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.sync import marks, reading, taking
from backend.pipeline.sync.reading import read_project, sync_project
from backend.store import projects
from backend.store.models import AnnotationRow, ProjectRow, TaskRow
from backend.store.tasks import readings, snapshots
from backend.store.tasks.readings import ReadingRow
from domain.errors import LabelStudioError, ProjectGoneError
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import FakeLabelStudio, polygon


@pytest.fixture
def settled(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    """Ten tasks, two of them labelled, read so long ago that nothing of them is read again."""
    for task_id in range(1, 11):
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    app.label_studio.label(2, was_cancelled=True)
    sync_project(app.context, PROJECT)
    _settle(app)
    assert _read(app) == []
    return app


def _settle(app: FakeApp) -> None:
    """As if the last two readings were long ago."""
    for _ in range(2):
        with app.store.begin() as session:
            session.get_one(ReadingRow, PROJECT).seen_at = 1.0
        sync_project(app.context, PROJECT)


def _read(app: FakeApp) -> list[int]:
    """The tasks that one reading reads."""
    app.label_studio.read.clear()
    sync_project(app.context, PROJECT)
    return list(app.label_studio.read)


def _hint(app: FakeApp, *task_ids: int, action: str = "ANNOTATION_UPDATED") -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, action, task_ids)


def _live(app: FakeApp) -> list[int]:
    with app.store.begin() as session:
        return snapshots.live_tasks(session, PROJECT)


def _states(app: FakeApp) -> dict[int, TaskState]:
    with app.store.begin() as session:
        return {
            i: session.get_one(TaskRow, i).state for i in snapshots.live_tasks(session, PROJECT)
        }


def _labels(app: FakeApp) -> dict[int, str]:
    """Annotation id -> the label of its first region, of those that are there."""
    with app.store.begin() as session:
        rows = session.query(AnnotationRow).filter(AnnotationRow.removed_at.is_(None))
        return {
            row.id: row.result[0]["value"]["polygonlabels"][0] if row.result else "" for row in rows
        }


def _row(app: FakeApp) -> ReadingRow:
    with app.store.begin() as session:
        return session.get_one(ReadingRow, PROJECT)


def _change(app: FakeApp, **values: Any) -> None:
    with app.store.begin() as session:
        for name, value in values.items():
            setattr(session.get_one(ReadingRow, PROJECT), name, value)


def _agrees(app: FakeApp) -> None:
    """The store holds what Label Studio holds."""
    tasks = app.label_studio.tasks.values()
    assert _live(app) == sorted(task.id for task in tasks)
    assert _labels(app) == {
        a.id: a.result[0]["value"]["polygonlabels"][0] if a.result else ""
        for task in tasks
        for a in task.annotations
    }


def test_of_an_idle_project_no_task_is_read(settled: FakeApp) -> None:
    settled.label_studio.calls.clear()
    assert _read(settled) == []
    assert settled.label_studio.calls.count("iter_tasks") == 1


def test_a_change_without_a_hint_is_read_alone_and_once_more(settled: FakeApp) -> None:
    settled.label_studio.label(4, polygon())
    assert _read(settled) == [4]
    assert _states(settled)[4] == TaskState.LABELLED
    assert _read(settled) == [4]  # what was stored late may be older
    _settle(settled)
    assert _read(settled) == []


def test_a_change_that_is_stored_late_is_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    early = studio.stamp()
    studio.label(4, polygon())
    assert _read(settled) == [4]
    # Label Studio took its time of a change of task 5 before, and stores it now.
    annotation = studio.label(5, polygon("wall"))
    studio.silently(replace(studio.tasks[5], updated_at=early))
    _read(settled)
    assert _labels(settled)[annotation] == "wall"


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
    _agrees(app)
    # Also where the next reading comes much later, which changes what it starts from.
    annotation = studio.label(1, polygon("wall"))
    studio.label(2, polygon())
    _change(app, seen_at=1.0)
    _read(app)
    assert _labels(app)[annotation] == "wall"


def test_a_task_changed_in_the_tick_of_the_reading_is_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    studio.label(4, polygon())
    _read(settled)
    tick = studio.tasks[4].updated_at
    annotation = studio.label(5, polygon("wall"))
    studio.silently(replace(studio.tasks[5], updated_at=tick))
    _read(settled)
    assert _labels(settled)[annotation] == "wall"


@pytest.mark.parametrize("is_hinted", [True, False])
def test_deleted_tasks_are_found(settled: FakeApp, is_hinted: bool) -> None:
    del settled.label_studio.tasks[3], settled.label_studio.tasks[1]
    if is_hinted:
        _hint(settled, 3, 1, 3, 99, action="TASKS_DELETED")
    assert len(_read(settled)) == 0
    _agrees(settled)
    assert ("count_tasks" in settled.label_studio.calls) is False


def test_a_few_deleted_tasks_among_many_are_found_without_reading(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "LEAF", 4)
    for task_id in range(1, 201):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    _settle(app)
    for task_id in (1, 77, 78, 200):
        del app.label_studio.tasks[task_id]
    assert _read(app) == []
    _agrees(app)
    for task_id in range(100, 160):
        del app.label_studio.tasks[task_id]
    assert _read(app) == []
    _agrees(app)


def test_many_deleted_tasks_here_and_there_lead_to_a_reading_of_all(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "LEAF", 2)
    monkeypatch.setattr(taking, "MOST_QUESTIONS", 10)
    for task_id in range(1, 101):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    _settle(app)
    for task_id in range(1, 101, 7):
        del app.label_studio.tasks[task_id]
    assert len(_read(app)) == 85
    _agrees(app)


def test_the_last_task_is_deleted(app: FakeApp) -> None:
    app.label_studio.add_task(1)
    sync_project(app.context, PROJECT)
    _settle(app)
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
    _hint(settled, 1, action="TASKS_DELETED")
    assert _read(settled) == [1]
    _agrees(settled)
    with settled.store.begin() as session:
        assert session.get_one(TaskRow, 1).source != before
    assert _states(settled)[1] == TaskState.UNLABELLED


def test_one_deleted_and_one_made_leave_the_count_as_it_was(settled: FakeApp) -> None:
    del settled.label_studio.tasks[3]
    settled.label_studio.add_task(11)
    assert _read(settled)[:1] == [11]
    _agrees(settled)


def test_changed_data_are_read(settled: FakeApp) -> None:
    settled.label_studio.update_data(3, {"image": "/data/upload/other.png"})
    _read(settled)
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
    _read(settled)
    _agrees(settled)
    assert _read(settled)[:1] != [1] or _row(settled).doubt == ""


def test_annotations_moved_from_a_task_that_is_deleted_then_are_found(settled: FakeApp) -> None:
    # 'Remove duplicates' of Label Studio: the time of the task that keeps them does not change.
    studio = settled.label_studio
    (annotation,) = studio.tasks[1].annotations
    moved = replace(annotation, task_id=5)
    studio.silently(replace(studio.tasks[5], annotations=(moved,)))
    del studio.tasks[1]
    _read(settled)
    _agrees(settled)
    assert _states(settled)[5] == TaskState.LABELLED


def test_what_a_hint_tells_of_is_read_whatever_its_time(settled: FakeApp) -> None:
    studio = settled.label_studio
    (annotation,) = studio.tasks[1].annotations
    changed = replace(annotation, result=[polygon("wall")])
    studio.silently(replace(studio.tasks[1], annotations=(changed,)))
    assert _read(settled) == []  # nothing tells of it
    _hint(settled, 1)
    _hint(settled, 1)
    assert _read(settled) == [1]
    _agrees(settled)
    # Others may have changed as silently.
    assert _row(settled).doubt == "something changed that no time tells of"
    assert len(_read(settled)) == 10
    assert _read(settled)[:1] != [1, 2, 3]


def test_what_nothing_tells_of_is_found_in_turn(settled: FakeApp) -> None:
    studio = settled.label_studio
    (annotation,) = studio.tasks[1].annotations
    changed = replace(annotation, result=[polygon("wall")])
    studio.silently(replace(studio.tasks[1], annotations=(changed,)))
    reread_s = settled.context.settings.reread_s
    _change(settled, turned_at=time.time() - reread_s + 60.0)
    assert _read(settled) == []
    _change(settled, turned_at=time.time() - reread_s - 1.0)
    assert len(_read(settled)) == 10
    _agrees(settled)


def test_a_turn_goes_on_where_it_was(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.pipeline.sync.taking.PORTION", 4)
    monkeypatch.setattr("backend.pipeline.sync.reading.PORTION", 4)
    for task_id in range(1, 11):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    _settle(app)
    turns = []
    for _ in range(4):
        _change(app, turned_at=1.0)
        turns.append(_read(app))
    assert turns == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], [1, 2, 3, 4]]
    # A portion is due in time for all of them to come in the time that is set.
    _change(app, turned_at=time.time() - app.context.settings.reread_s * 4 / 10 + 5.0)
    assert _read(app) == []
    _change(app, turned_at=time.time() - app.context.settings.reread_s * 4 / 10 - 5.0)
    assert _read(app) == [5, 6, 7, 8]


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_a_clock_of_label_studio_that_is_not_ours_costs_nothing(
    app: FakeApp, ahead_s: float
) -> None:
    app.label_studio.clock_ahead_s = ahead_s
    for task_id in range(1, 11):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    _settle(app)
    assert _read(app) == []
    app.label_studio.label(3, polygon())
    assert _read(app) == [3]


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_leads_to_a_reading_of_all(settled: FakeApp, ahead_s: float) -> None:
    studio = settled.label_studio
    studio.clock_ahead_s = ahead_s
    annotation = studio.tasks[1].annotations[0].id
    studio.update_annotation(annotation, [polygon("wall")])
    assert len(_read(settled)) == 10
    _agrees(settled)
    # And from then on what has changed is seen again.
    for task_id in (3, 4):
        studio.label(task_id, polygon())
        assert task_id in _read(settled)
    _agrees(settled)


def test_changes_are_seen_after_a_clock_was_ahead(settled: FakeApp) -> None:
    studio = settled.label_studio
    studio.clock_ahead_s = 86_400.0
    studio.label(3, polygon())
    _read(settled)
    _settle(settled)
    studio.clock_ahead_s = 0.0  # task 3 has a time of tomorrow
    _read(settled)
    _settle(settled)
    annotation = studio.tasks[1].annotations[0].id
    studio.update_annotation(annotation, [polygon("wall")])
    assert 1 in _read(settled)
    _agrees(settled)


def test_an_interface_with_other_images_has_all_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    config = studio.info.label_config.replace("$image", "$photo")
    studio.info = replace(studio.info, label_config=config)
    assert len(_read(settled)) == 10
    assert _read(settled) != list(range(1, 11)) or _row(settled).seen_to


def test_a_project_made_anew_under_the_id_is_not_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    with settled.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).created_at = "2026-01-01T00:00:00Z"
    studio.info = replace(studio.info, created_at="2026-03-03T00:00:00Z")
    studio.tasks.clear()
    with pytest.raises(ProjectGoneError):
        sync_project(settled.context, PROJECT)
    assert len(_live(settled)) == 10  # what is known of the other one stays as it was
    # Back, as from a backup: what it holds now is read as a whole.
    studio.info = replace(studio.info, created_at="2026-01-01T00:00:00Z")
    sync_project(settled.context, PROJECT)
    assert _live(settled) == []


def test_after_an_error_all_is_read_but_not_again_and_again(settled: FakeApp) -> None:
    studio = settled.label_studio
    for _ in range(2):
        studio.is_down = True
        with pytest.raises(LabelStudioError):
            sync_project(settled.context, PROJECT)
        studio.is_down = False
        assert _read(settled) == []
    _change(settled, read_all_at=time.time() - marks.QUIET_S - 1.0)
    assert len(_read(settled)) == 10
    assert _row(settled).doubt == ""


def test_a_doubt_has_all_read_once(settled: FakeApp) -> None:
    with settled.store.begin() as session:
        readings.doubt_all(session, "nnloop was started")
        readings.doubt(session, PROJECT, "another reason")
    assert _row(settled).doubt == "nnloop was started"
    assert len(_read(settled)) == 10
    _settle(settled)
    assert _read(settled) == []


def test_a_person_reads_all(settled: FakeApp) -> None:
    settled.label_studio.read.clear()
    read_project(settled.context, PROJECT)
    assert len(settled.label_studio.read) == 10
    settled.label_studio.read.clear()
    sync_project(settled.context, PROJECT, wholly=True)
    assert len(settled.label_studio.read) == 10


def test_counts_that_never_agree_have_all_read_once(
    settled: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = FakeLabelStudio.project

    def more(studio: FakeLabelStudio, project_id: int) -> Any:
        info = counted(studio, project_id)
        return replace(info, n_submitted=info.n_submitted + 2)

    monkeypatch.setattr(FakeLabelStudio, "project", more)
    assert len(set(_read(settled))) == 10
    _settle(settled)
    assert _read(settled) == []
    # From then on it is the difference that counts.
    task = settled.label_studio.tasks[1]
    settled.label_studio.silently(replace(task, annotations=()))
    assert len(set(_read(settled))) == 10
    _agrees(settled)


def test_a_reading_that_breaks_off_leaves_the_marks(settled: FakeApp) -> None:
    studio = settled.label_studio
    for task_id in (3, 4, 5):
        studio.label(task_id, polygon())

    def go_down() -> None:
        studio.is_down = True

    before = _row(settled).read_to, _row(settled).seen_to
    studio.while_reading = go_down
    with pytest.raises(LabelStudioError):
        sync_project(settled.context, PROJECT)
    assert (_row(settled).read_to, _row(settled).seen_to) == before
    studio.is_down, studio.while_reading = False, lambda: None
    assert _read(settled) == [3, 4, 5]
    _agrees(settled)


def _is_checked(app: FakeApp) -> bool:
    app.label_studio.calls.clear()
    sync_project(app.context, PROJECT)
    return "list_backends" in app.label_studio.calls


def test_the_connection_is_looked_at_from_time_to_time(settled: FakeApp) -> None:
    assert not _is_checked(settled)
    _hint(settled, 3)
    assert not _is_checked(settled)
    _hint(settled, action="PROJECT_UPDATED")
    assert _is_checked(settled)
    assert not _is_checked(settled)
    _change(settled, checked_at=time.time() - reading.CHECK_S - 1.0)
    settled.label_studio.webhooks = {}
    assert _is_checked(settled)
    assert _is_checked(settled)  # while something is wrong, so that it is seen when it is mended
    _change(settled, doubt="it was connected")
    assert _is_checked(settled)


@pytest.mark.parametrize("what", ["version", "order", "predictions"])
def test_what_the_project_itself_says_of_its_connection_is_seen_at_once(
    settled: FakeApp, what: str
) -> None:
    studio = settled.label_studio
    assert not _is_checked(settled)
    if what == "version":
        studio.info = replace(studio.info, model_version="another")
    elif what == "order":
        studio.info = replace(studio.info, sampling="Sequential sampling")
    else:
        studio.predictions.append(PushedPrediction(3, [], 0.5, "another", 1))
    assert _is_checked(settled)


def test_a_hint_for_a_task_of_nobody_does_no_harm(settled: FakeApp) -> None:
    _hint(settled, 4711, 0, 3)
    assert _read(settled) == [3]
    _agrees(settled)
    with settled.store.begin() as session:
        assert session.get(TaskRow, 4711) is None


def test_a_task_of_another_project_under_the_id_stays(settled: FakeApp) -> None:
    with settled.store.begin() as session:
        session.add(ProjectRow(id=2, title="Other", label_config=""))
        session.add(TaskRow(id=50, project_id=2))
    _hint(settled, 50)
    _read(settled)
    with settled.store.begin() as session:
        row = session.get_one(TaskRow, 50)
        assert (row.project_id, row.removed_at) == (2, None)


def test_many_tasks_made_at_once_are_read(settled: FakeApp) -> None:
    for task_id in range(11, 700):
        settled.label_studio.add_task(task_id)
    assert sync_project(settled.context, PROJECT).tasks == 699
    _agrees(settled)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_done_the_next_reading_agrees(app: FakeApp, seed: int) -> None:
    """Everything that Label Studio shows by a time or by a number, hinted or not, in any order."""
    rng, studio, new_ids = random.Random(seed), app.label_studio, count(1000)
    for task_id in range(1, 13):
        studio.add_task(task_id)

    def annotated() -> list[int]:
        return [task.id for task in studio.tasks.values() if task.annotations]

    def propagate(task_id: int) -> None:  # the time of the other task does not change
        for other in sorted(set(annotated()) - {task_id})[:1]:
            (first, *_), task = studio.tasks[other].annotations, studio.tasks[task_id]
            copied = replace(first, id=next(new_ids), task_id=task_id)
            studio.silently(replace(task, annotations=(*task.annotations, copied)))

    def remove_duplicate(task_id: int) -> None:
        for other in sorted(studio.tasks.keys() - {task_id})[:1]:
            moved = [replace(a, task_id=other) for a in studio.tasks.pop(task_id).annotations]
            task = studio.tasks[other]
            studio.silently(replace(task, annotations=(*task.annotations, *moved)))

    def reuse(task_id: int) -> None:
        del studio.tasks[task_id]
        studio.now = f"2026-02-02T00:00:{rng.randrange(60):02d}.000000Z"
        studio.add_task(task_id)

    def change(task_id: int) -> None:
        for annotation in studio.tasks[task_id].annotations[:1]:
            studio.update_annotation(annotation.id, [polygon(rng.choice(["lumen", "wall"]))])

    actions: dict[str, Callable[[int], object]] = {
        "label": lambda i: studio.label(i, polygon(rng.choice(["lumen", "wall"]))),
        "skip": lambda i: studio.label(i, was_cancelled=True),
        "unlabel": studio.unlabel,
        "change": change,
        "delete": lambda i: studio.tasks.pop(i),
        "add": lambda i: studio.add_task(max(studio.tasks) + 1),
        "reuse": reuse,
        "propagate": propagate,
        "remove duplicate": remove_duplicate,
        "set clock": lambda i: setattr(studio, "clock_ahead_s", rng.choice([0.0, -7200.0, 7200.0])),
    }
    done: list[str] = []
    for _ in range(40):
        for _ in range(rng.randrange(4)):
            if len(studio.tasks) < 3:
                studio.add_task(max(studio.tasks, default=0) + 1)
            done.append(rng.choice(list(actions)))
            task_id = rng.choice(list(studio.tasks))
            actions[done[-1]](task_id)
            if rng.random() < 0.3:
                _hint(app, task_id)
        sync_project(app.context, PROJECT)
        assert _live(app) == sorted(studio.tasks), done
        _agrees(app)
        if rng.random() < 0.3:
            _change(app, seen_at=1.0)  # a long time passes

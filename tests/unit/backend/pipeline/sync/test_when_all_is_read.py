"""When what has changed is not enough: clocks, doubts, errors; and that nothing is missed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.sync import marks, reading
from backend.pipeline.sync.reading import read_project, sync_project
from backend.store.models import ProjectRow, TaskRow
from backend.store.tasks import readings
from domain.errors import LabelStudioError, ProjectGoneError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.clocks import Clocks
from tests.fakes.label_studio import FakeLabelStudio, polygon
from tests.needed import ON_POSTGRESQL
from tests.unit.backend.pipeline.sync.changing import (
    agrees,
    change,
    hint,
    live,
    read,
    row,
    settle,
)


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_a_clock_of_label_studio_that_is_not_ours_costs_nothing(
    app: FakeApp, ahead_s: float
) -> None:
    app.label_studio.clock_ahead_s = ahead_s
    for task_id in range(1, 11):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    settle(app)
    assert read(app) == []
    app.label_studio.label(3, polygon())
    assert read(app) == [3]


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_leads_to_a_reading_of_all(settled: FakeApp, ahead_s: float) -> None:
    studio = settled.label_studio
    studio.clock_ahead_s = ahead_s
    annotation = studio.tasks[1].annotations[0].id
    studio.update_annotation(annotation, [polygon("wall")])
    assert len(read(settled)) == 10
    agrees(settled)
    # And from then on what has changed is seen again.
    for task_id in (3, 4):
        studio.label(task_id, polygon())
        assert task_id in read(settled)
    agrees(settled)


@pytest.mark.skipif(ON_POSTGRESQL, reason="ours is the database server's, which no test sets")
@pytest.mark.parametrize("moved_s", [-3600.0, -86_400.0 * 3])
def test_a_change_that_nobody_told_of_is_seen_after_all_clocks_were_set_back(
    settled: FakeApp, monkeypatch: pytest.MonkeyPatch, moved_s: float
) -> None:
    # Label Studio's and ours are those of one machine: neither is ahead of the other.
    clocks = Clocks(monkeypatch)
    clocks.set_wall(moved_s)
    studio = settled.label_studio
    studio.restart_clock()
    annotation = studio.tasks[1].annotations[0].id
    studio.update_annotation(annotation, [polygon("wall")])
    assert len(read(settled)) == 10
    agrees(settled)
    clocks.pass_s(marks.OVERLAP_S + 1.0)
    studio.update_annotation(annotation, [polygon()])
    before = row(settled).read_all_at
    assert 1 in read(settled)  # with those whose times are still to come
    agrees(settled)
    assert row(settled).read_all_at == before  # it was not all of it again


def test_changes_are_seen_after_a_clock_was_ahead(settled: FakeApp) -> None:
    studio = settled.label_studio
    studio.clock_ahead_s = 86_400.0
    studio.label(3, polygon())
    read(settled)
    settle(settled)
    studio.clock_ahead_s = 0.0  # task 3 has a time of tomorrow
    read(settled)
    settle(settled)
    annotation = studio.tasks[1].annotations[0].id
    studio.update_annotation(annotation, [polygon("wall")])
    assert 1 in read(settled)
    agrees(settled)


def test_an_interface_with_other_images_has_all_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    config = studio.info.label_config.replace("$image", "$photo")
    studio.info = replace(studio.info, label_config=config)
    assert len(read(settled)) == 10
    assert read(settled) != list(range(1, 11)) or row(settled).seen_to


def test_a_project_made_anew_under_the_id_is_not_read(settled: FakeApp) -> None:
    studio = settled.label_studio
    with settled.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).created_at = "2026-01-01T00:00:00Z"
    studio.info = replace(studio.info, created_at="2026-03-03T00:00:00Z")
    studio.tasks.clear()
    with pytest.raises(ProjectGoneError):
        sync_project(settled.context, PROJECT)
    assert len(live(settled)) == 10  # what is known of the other one stays as it was
    # Back, as from a backup: what it holds now is read as a whole.
    studio.info = replace(studio.info, created_at="2026-01-01T00:00:00Z")
    sync_project(settled.context, PROJECT)
    assert live(settled) == []


def test_after_an_error_all_is_read_but_not_again_and_again(settled: FakeApp) -> None:
    studio = settled.label_studio
    for _ in range(2):
        studio.is_down = True
        with pytest.raises(LabelStudioError):
            sync_project(settled.context, PROJECT)
        studio.is_down = False
        assert read(settled) == []
    change(settled, read_all_at=time.time() - marks.QUIET_S - 1.0)
    assert len(read(settled)) == 10
    assert row(settled).doubt == ""


def test_a_doubt_has_all_read_once(settled: FakeApp) -> None:
    with settled.store.begin() as session:
        readings.doubt_all(session, "nnloop was started")
        readings.doubt(session, PROJECT, "another reason")
    assert row(settled).doubt == "nnloop was started"
    assert len(read(settled)) == 10
    settle(settled)
    assert read(settled) == []


def test_after_all_was_read_only_what_is_new_is_read_again(app: FakeApp) -> None:
    studio = app.label_studio
    for task_id in range(1, 6):
        studio.add_task(task_id)
        if task_id < 5:
            studio.silently(replace(studio.tasks[task_id], updated_at="2020-01-01T00:00:00Z"))
    assert read(app) == [1, 2, 3, 4, 5]
    assert read(app) == [5]


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
    assert len(set(read(settled))) == 10
    settle(settled)
    assert read(settled) == []
    # From then on it is the difference that counts.
    task = settled.label_studio.tasks[1]
    settled.label_studio.silently(replace(task, annotations=()))
    assert len(set(read(settled))) == 10
    agrees(settled)


def test_a_reading_that_breaks_off_leaves_the_marks(settled: FakeApp) -> None:
    studio = settled.label_studio
    for task_id in (3, 4, 5):
        studio.label(task_id, polygon())

    def go_down() -> None:
        studio.is_down = True

    before = row(settled).read_to, row(settled).seen_to
    studio.while_reading = go_down
    with pytest.raises(LabelStudioError):
        sync_project(settled.context, PROJECT)
    assert (row(settled).read_to, row(settled).seen_to) == before
    studio.is_down, studio.while_reading = False, lambda: None
    assert read(settled) == [3, 4, 5]
    agrees(settled)


def _is_checked(app: FakeApp) -> bool:
    app.label_studio.calls.clear()
    sync_project(app.context, PROJECT)
    return "list_backends" in app.label_studio.calls


def test_the_connection_is_looked_at_from_time_to_time(settled: FakeApp) -> None:
    assert not _is_checked(settled)
    hint(settled, 3)
    assert not _is_checked(settled)
    hint(settled, action="PROJECT_UPDATED")
    assert _is_checked(settled)
    assert not _is_checked(settled)
    change(settled, checked_at=time.time() - reading.CHECK_S - 1.0)
    settled.label_studio.webhooks = {}
    assert _is_checked(settled)
    assert _is_checked(settled)  # while something is wrong, so that it is seen when it is mended
    change(settled, doubt="it was connected")
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
    hint(settled, 4711, 0, 3)
    assert read(settled) == [3]
    agrees(settled)
    with settled.store.begin() as session:
        assert session.get(TaskRow, 4711) is None


def test_a_task_of_another_project_under_the_id_stays(settled: FakeApp) -> None:
    with settled.store.begin() as session:
        session.add(ProjectRow(id=2, title="Other", label_config=""))
        session.add(TaskRow(id=50, project_id=2))
    hint(settled, 50)
    read(settled)
    with settled.store.begin() as session:
        row = session.get_one(TaskRow, 50)
        assert (row.project_id, row.removed_at) == (2, None)


def test_many_tasks_made_at_once_are_read(settled: FakeApp) -> None:
    for task_id in range(11, 700):
        settled.label_studio.add_task(task_id)
    assert sync_project(settled.context, PROJECT).tasks == 699
    agrees(settled)


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

    def correct(task_id: int) -> None:
        for annotation in studio.tasks[task_id].annotations[:1]:
            studio.update_annotation(annotation.id, [polygon(rng.choice(["lumen", "wall"]))])

    actions: dict[str, Callable[[int], object]] = {
        "label": lambda i: studio.label(i, polygon(rng.choice(["lumen", "wall"]))),
        "skip": lambda i: studio.label(i, was_cancelled=True),
        "unlabel": studio.unlabel,
        "change": correct,
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
                hint(app, task_id)
        sync_project(app.context, PROJECT)
        assert live(app) == sorted(studio.tasks), done
        agrees(app)
        if rng.random() < 0.3:
            change(app, seen_at=1.0)  # a long time passes

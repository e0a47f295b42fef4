from __future__ import annotations

from dataclasses import replace

from backend.store.identity import CHUNK
from backend.store.models import AnnotationRow, TaskRow
from backend.store.tasks import snapshots
from domain.annotation import Annotation, Task
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp


def _task(task_id: int, *annotations: Annotation, **data: str) -> Task:
    return Task(task_id, PROJECT, {"image": f"/{task_id}.png", **data}, annotations)


def _annotation(
    annotation_id: int, task_id: int, text: str = "", *, skip: bool = False, updated_at: str = ""
) -> Annotation:
    return Annotation(
        annotation_id, task_id, [{"x": text}], was_cancelled=skip, updated_at=updated_at
    )


def _write(app: FakeApp, *tasks: Task) -> int:
    with app.store.begin() as session:
        return snapshots.write_tasks(session, PROJECT, tasks)


def _state(app: FakeApp, task_id: int) -> str:
    with app.store.begin() as session:
        return session.get_one(TaskRow, task_id).state


def test_write_counts_what_is_new_or_changed(app: FakeApp) -> None:
    first = _annotation(10, 1, "a")
    assert _write(app, _task(1, first), _task(2)) == 1
    assert _write(app, _task(1, first), _task(2)) == 0
    assert _write(app, _task(1, replace(first, result=[{"x": "b"}]))) == 1
    # The order of keys and the time of the last save change nothing that is trained on.
    assert _write(app, _task(1, replace(first, result=[{"x": "b"}], updated_at="later"))) == 0
    assert _write(app, _task(1, replace(first, result=[{"x": "b"}], was_cancelled=True))) == 1
    with app.store.begin() as session:
        assert session.get_one(AnnotationRow, 10).result == [{"x": "b"}]


def test_changed_task_data_are_kept(app: FakeApp) -> None:
    _write(app, _task(1, patient="7"))
    _write(app, _task(1, patient="8"))
    with app.store.begin() as session:
        assert session.get_one(TaskRow, 1).data["patient"] == "8"


def test_a_removed_annotation_counts_once_and_may_come_back(app: FakeApp) -> None:
    _write(app, _task(1, _annotation(10, 1), _annotation(11, 1)))
    assert _write(app, _task(1, _annotation(10, 1))) == 1
    assert _write(app, _task(1, _annotation(10, 1))) == 0
    with app.store.begin() as session:
        assert session.get_one(AnnotationRow, 11).removed_at is not None
    assert _write(app, _task(1, _annotation(10, 1), _annotation(11, 1))) == 1
    with app.store.begin() as session:
        assert session.get_one(AnnotationRow, 11).removed_at is None


def test_states(app: FakeApp) -> None:
    _write(app, _task(1), _task(2, _annotation(20, 2, skip=True)))
    _write(app, _task(3, _annotation(30, 3, skip=True), _annotation(31, 3)))
    _write(app, _task(4, Annotation(40, 4, [])))  # submitted empty: a true negative
    assert [_state(app, task_id) for task_id in (1, 2, 3, 4)] == [
        TaskState.UNLABELLED,
        TaskState.SKIPPED,
        TaskState.LABELLED,
        TaskState.LABELLED,
    ]
    with app.store.begin() as session:
        assert snapshots.counts(session, PROJECT) == {
            TaskState.UNLABELLED: 1,
            TaskState.SKIPPED: 1,
            TaskState.LABELLED: 2,
        }
        assert snapshots.skipped_tasks(session, PROJECT) == [2]
        assert snapshots.counts(session, 77) == dict.fromkeys(TaskState, 0)


def test_tasks_that_are_gone(app: FakeApp) -> None:
    _write(app, _task(1, _annotation(10, 1)), _task(2, _annotation(20, 2)), _task(3))
    with app.store.begin() as session:
        assert snapshots.remove_missing(session, PROJECT, [2, 3]) == 1
        assert snapshots.remove_missing(session, PROJECT, [2, 3]) == 0
        assert [t.id for t, _ in snapshots.submitted_annotations(session, PROJECT)] == [2]
        assert snapshots.counts(session, PROJECT)[TaskState.LABELLED] == 1
    with app.store.begin() as session:  # a fresh session: the rows themselves
        assert session.get_one(AnnotationRow, 10).removed_at is not None
    # It was there all the time (its page was missed): it counts again, with its annotation.
    assert _write(app, _task(1, _annotation(10, 1))) == 1
    with app.store.begin() as session:
        assert [t.id for t, _ in snapshots.submitted_annotations(session, PROJECT)] == [1, 2]


def test_more_tasks_can_go_than_a_statement_takes(app: FakeApp) -> None:
    n = 2 * CHUNK + 3
    for start in range(1, n + 1, CHUNK):
        _write(app, *(_task(i) for i in range(start, min(n + 1, start + CHUNK))))
    with app.store.begin() as session:
        assert snapshots.remove_missing(session, PROJECT, []) == n


def test_the_newest_annotation_that_is_no_skip_counts(app: FakeApp) -> None:
    _write(
        app,
        _task(
            1,
            _annotation(10, 1, updated_at="2026-01-01T10:00:00Z"),
            _annotation(11, 1, updated_at="2026-01-01T09:00:00Z"),
            _annotation(12, 1, updated_at="2026-01-01T11:00:00Z", skip=True),
        ),
        # Saved in the same moment: the later id.
        _task(2, _annotation(21, 2, updated_at="t"), _annotation(20, 2, updated_at="t")),
        _task(3, _annotation(30, 3, skip=True)),
    )
    with app.store.begin() as session:
        found = {
            t.id: [a.id for a in chosen]
            for t, chosen in snapshots.chosen_annotations(session, PROJECT, "latest")
        }
        everyone = {
            t.id: [a.id for a in chosen]
            for t, chosen in snapshots.chosen_annotations(session, PROJECT, "majority")
        }
    assert found == {1: [10], 2: [21]}
    assert everyone == {1: [11, 10], 2: [20, 21]}

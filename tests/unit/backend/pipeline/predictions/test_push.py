"""Parts that go out while the pool is scored, and what changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from filelock import FileLock

from backend.jobs import loop
from backend.label_studio import PushedPrediction
from backend.pipeline.predictions import push as module
from backend.pipeline.predictions.publish import LOCK, publish
from backend.pipeline.predictions.push import push_part
from backend.store import projects
from backend.store.models import TaskRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from domain.errors import LabelStudioError
from domain.states import RunControl, RunStatus, TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import predict

_predict = partial(predict, score=lambda task_id: task_id / 10)


def _held(app: FakeApp) -> list[tuple[int, str]]:
    return sorted((row.task_id, row.model_version) for row in app.label_studio.predictions)


def _when_importing(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]
) -> None:
    """Something happens just after Label Studio has taken predictions."""
    take = app.label_studio.import_predictions

    def taken(project_id: int, rows: Sequence[PushedPrediction]) -> int:
        n_taken = take(project_id, rows)
        happens()
        return n_taken

    monkeypatch.setattr(app.label_studio, "import_predictions", taken)


@pytest.fixture
def versions_1_and_2(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Version 1 is there of tasks 1 to 4; version 2 serves, and has seen 2 and 3 so far."""
    monkeypatch.setattr(module, "SHOWN_FROM", 1)
    first = app.add_version(1)
    app.add_tasks(1, 2, 3, 4)
    _predict(app, first, 1, 2, 3, 4)
    publish(app.context, PROJECT)
    second = app.add_version(2)
    _predict(app, second, 2, 3)
    return first, second


def test_a_part_goes_out_in_the_place_of_what_was_there(
    app: FakeApp, versions_1_and_2: tuple[int, int]
) -> None:
    assert push_part(app.context, PROJECT) == 2
    # Never two versions of a task; and never none.
    assert _held(app) == [(1, "nnloop-v1"), (2, "nnloop-v2"), (3, "nnloop-v2"), (4, "nnloop-v1")]
    assert app.label_studio.info.model_version == "nnloop-v2"
    with app.store.begin() as session:
        assert predictions.counts(session, versions_1_and_2[0])[1] == 2
        assert predictions.counts(session, versions_1_and_2[1])[1] == 2
        # The rest of the first version goes at the end.
        assert session.get_one(VersionRow, versions_1_and_2[1]).published_at is None
    _predict(app, versions_1_and_2[1], 1, 4)
    assert push_part(app.context, PROJECT) == 2
    publish(app.context, PROJECT)
    assert _held(app) == [(i, "nnloop-v2") for i in (1, 2, 3, 4)]


def test_the_first_prediction_of_the_first_version_goes_out(app: FakeApp) -> None:
    assert push_part(app.context, PROJECT) == 0  # no version serves
    version = app.add_version()
    app.add_tasks(1, 2)
    assert push_part(app.context, PROJECT) == 0
    assert app.label_studio.calls == []
    _predict(app, version, 2)
    assert push_part(app.context, PROJECT) == 1
    assert (_held(app), app.label_studio.info.model_version) == ([(2, "nnloop-v1")], "nnloop-v1")


def test_annotators_are_served_by_a_new_version_once_some_of_it_is_there(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN_FROM", 3)
    push_part(app.context, PROJECT)
    # What they are served by has its predictions still.
    assert app.label_studio.info.model_version == "nnloop-v1"
    assert [name for _, name in _held(app)].count("nnloop-v1") == 4
    _predict(app, versions_1_and_2[1], 4)
    push_part(app.context, PROJECT)
    assert app.label_studio.info.model_version == "nnloop-v2"
    assert _held(app) == [(1, "nnloop-v1"), *((i, "nnloop-v2") for i in (2, 3, 4))]


def test_pushing_twice_is_pushing_once(app: FakeApp, versions_1_and_2: tuple[int, int]) -> None:
    push_part(app.context, PROJECT)
    app.label_studio.calls.clear()
    assert push_part(app.context, PROJECT) == 0
    assert app.label_studio.calls == []


def test_of_two_predictions_of_one_version_one_stays(
    app: FakeApp, versions_1_and_2: tuple[int, int]
) -> None:
    push_part(app.context, PROJECT)
    twice = [row for row in app.label_studio.predictions if row.model_version == "nnloop-v2"]
    app.label_studio.predictions += [replace(row, id=1000 + (row.id or 0)) for row in twice]
    _predict(app, versions_1_and_2[1], 1, 4)
    publish(app.context, PROJECT)
    assert _held(app) == [(i, "nnloop-v2") for i in (1, 2, 3, 4)]


def test_a_push_that_was_cut_off_is_taken_up(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        _when_importing(app, dying, die)
        with pytest.raises(KeyboardInterrupt):
            push_part(app.context, PROJECT)
    assert len(_held(app)) == 6  # stored by Label Studio, and not known to be
    assert push_part(app.context, PROJECT) == 0
    assert _held(app) == [(1, "nnloop-v1"), (2, "nnloop-v2"), (3, "nnloop-v2"), (4, "nnloop-v1")]


def test_who_pushes_all_is_not_disturbed(app: FakeApp, versions_1_and_2: tuple[int, int]) -> None:
    folder = app.context.workspace(PROJECT).folder
    folder.mkdir(parents=True, exist_ok=True)
    app.label_studio.calls.clear()
    with FileLock(folder / LOCK):
        assert push_part(app.context, PROJECT) == 0
    assert app.label_studio.calls == []


def test_what_is_labelled_meanwhile_gets_no_prediction(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.store.begin() as session:
        session.get_one(TaskRow, 2).state = TaskState.LABELLED
    annotated: list[int] = []
    _when_importing(app, monkeypatch, lambda: annotated.append(app.label_studio.label(3)))
    assert push_part(app.context, PROJECT) == 1
    assert [row for row in _held(app) if row[1] == "nnloop-v2"] == [(3, "nnloop-v2")]
    assert len(app.label_studio.tasks[3].annotations) == 1


def test_a_task_that_was_deleted_meanwhile_holds_the_others_up_no_longer_than_its_reading(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "context", lambda: app.context)
    del app.label_studio.tasks[2]
    loop.push(PROJECT)  # Label Studio refuses the whole body
    assert (3, "nnloop-v2") not in _held(app)
    with app.store.begin() as session:
        session.get_one(TaskRow, 2).removed_at = 1.0  # the webhook's reading
    loop.push(PROJECT)
    assert (3, "nnloop-v2") in _held(app)


def test_a_version_promoted_meanwhile_is_not_overruled(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def promote() -> None:
        third = app.add_version(3)
        _predict(app, third, 3)

    with monkeypatch.context() as meanwhile:
        _when_importing(app, meanwhile, promote)
        push_part(app.context, PROJECT)
    assert app.label_studio.info.model_version == "nnloop-v1"
    push_part(app.context, PROJECT)
    assert app.label_studio.info.model_version == "nnloop-v3"
    assert [row for row in _held(app) if row[0] == 3] == [(3, "nnloop-v3")]


def test_going_back_brings_back_what_a_part_has_replaced(
    app: FakeApp, versions_1_and_2: tuple[int, int]
) -> None:
    push_part(app.context, PROJECT)
    with app.store.begin() as session:
        versions.promote(session, session.get_one(VersionRow, versions_1_and_2[0]))
    publish(app.context, PROJECT)
    assert _held(app) == [(i, "nnloop-v1") for i in (1, 2, 3, 4)]
    assert app.label_studio.info.model_version == "nnloop-v1"


def test_predictions_of_others_stay(app: FakeApp, versions_1_and_2: tuple[int, int]) -> None:
    app.label_studio.predictions.append(PushedPrediction(2, [], 0.5, "someone-elses", 77))
    push_part(app.context, PROJECT)
    assert (2, "someone-elses") in _held(app)


def test_many_are_replaced_bit_by_bit(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as slow:
        slow.setattr(module, "REPLACE_S", -1.0)
        push_part(app.context, PROJECT)
    assert len(_held(app)) == 6
    _predict(app, versions_1_and_2[1], 4)
    push_part(app.context, PROJECT)  # also those of the part before
    assert _held(app) == [(1, "nnloop-v1"), *((i, "nnloop-v2") for i in (2, 3, 4))]


def test_a_dropped_one_is_told_of_and_not_sent_again(
    app: FakeApp, versions_1_and_2: tuple[int, int]
) -> None:
    app.label_studio.drops = {3}
    assert push_part(app.context, PROJECT) == 1
    # What the first version says of it stays.
    assert (3, "nnloop-v1") in _held(app)
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert problem.message.startswith("Task 3: Label Studio did not keep the prediction")
    assert push_part(app.context, PROJECT) == 0


def test_a_task_that_shows_another_image_now_waits_for_what_is_withdrawn(
    app: FakeApp, versions_1_and_2: tuple[int, int]
) -> None:
    with app.store.begin() as session:
        session.get_one(TaskRow, 2).to_withdraw = True
        session.get_one(TaskRow, 3).source = "another image"
    assert push_part(app.context, PROJECT) == 0
    assert not any(name == "nnloop-v2" for _, name in _held(app))


def test_a_paused_run_and_a_label_studio_that_is_down_push_nothing(
    app: FakeApp, versions_1_and_2: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "context", lambda: app.context)
    app.label_studio.is_down = True
    loop.push(PROJECT)
    with pytest.raises(LabelStudioError):
        push_part(app.context, PROJECT)
    app.label_studio.is_down = False
    app.label_studio.calls.clear()
    app.add_run(RunStatus.SCORING, 9, control=RunControl.PAUSE)
    loop.push(PROJECT)
    assert app.label_studio.calls == []


def test_a_project_that_is_gone_gets_nothing(
    app: FakeApp, versions_1_and_2: tuple[int, int]
) -> None:
    app.label_studio.info = replace(app.label_studio.info, id=99)
    with app.store.begin() as session:
        fault = projects.Fault(projects.GONE, "It is gone.", "Forget it.")
        projects.set_faults(session, PROJECT, projects.CONNECTION, [fault])
    assert push_part(app.context, PROJECT) == 0

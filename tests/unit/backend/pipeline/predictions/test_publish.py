from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import select

from backend.label_studio import PushedPrediction
from backend.pipeline.predictions import publish as module
from backend.pipeline.predictions.publish import publish, try_publish
from backend.pipeline.sync.reading import sync_project
from backend.settings import RunSettings
from backend.store import projects
from backend.store.models import TaskRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import runs, versions
from domain.errors import LabelStudioError
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.models.versions import predict

_predict = partial(predict, score=lambda task_id: task_id / 10)


def _held(app: FakeApp) -> list[tuple[int, str]]:
    return sorted((row.task_id, row.model_version) for row in app.label_studio.predictions)


def _problems(app: FakeApp) -> list[str]:
    with app.store.begin() as session:
        return [row.message for row in projects.open_problems(session, PROJECT)]


def test_without_a_champion_nothing_happens(app: FakeApp) -> None:
    assert publish(app.context, PROJECT) is None
    assert app.label_studio.calls == []


def test_publishing_twice_is_publishing_once(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2)
    _predict(app, version, 1, 2)
    report = publish(app.context, PROJECT)
    assert report is not None
    assert (report.version, report.pushed, report.dropped) == ("nnloop-v1", 2, 0)
    assert _held(app) == [(1, "nnloop-v1"), (2, "nnloop-v1")]
    assert [row.score for row in app.label_studio.predictions] == [0.1, 0.2]
    app.label_studio.calls.clear()
    again = publish(app.context, PROJECT)
    assert again is not None and again.pushed == 0
    changing = {"import_predictions", "set_model_version", "delete_model_version"}
    assert changing.isdisjoint(app.label_studio.calls)
    with app.store.begin() as session:
        assert session.get_one(VersionRow, version).published_at is not None


def test_what_was_imported_before_a_crash_is_not_imported_again(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2)
    _predict(app, version, 1, 2)
    app.label_studio.predictions.append(PushedPrediction(1, [polygon()], 0.1, "nnloop-v1", 50))
    publish(app.context, PROJECT)
    assert _held(app) == [(1, "nnloop-v1"), (2, "nnloop-v1")]
    assert 50 in [row.id for row in app.label_studio.predictions]
    with app.store.begin() as session:
        assert predictions.counts(session, version) == (2, 2, 0)


@pytest.mark.parametrize(
    "row",
    [
        PushedPrediction(1, [polygon()], 0.9, "nnloop-v1", 50),
        PushedPrediction(1, [], 0.1, "nnloop-v1", 50),
    ],
)
def test_a_prediction_by_an_earlier_version_of_the_name_does_not_pass_for_this_ones(
    app: FakeApp, row: PushedPrediction
) -> None:
    # Disconnected and connected again: the numbers of versions began anew.
    version = app.add_version()
    app.add_tasks(1)
    _predict(app, version, 1)
    app.label_studio.predictions.append(row)
    publish(app.context, PROJECT)
    (pushed,) = app.label_studio.predictions
    assert (pushed.score, len(pushed.result), pushed.id != 50) == (0.1, 1, True)


def test_annotators_always_see_predictions(app: FakeApp) -> None:
    """New predictions, then the version sampled by, then the old ones go."""
    app.add_version(1)
    app.add_tasks(1)
    app.label_studio.predictions = [
        PushedPrediction(1, [], 0.1, "nnloop-v1"),
        PushedPrediction(1, [], 0.1, "someone-elses"),
    ]
    version = app.add_version(2)
    _predict(app, version, 1)
    publish(app.context, PROJECT)
    calls = app.label_studio.calls
    order = [
        calls.index(name)
        for name in ("import_predictions", "set_model_version", "delete_model_version")
    ]
    assert order == sorted(order)
    assert "count_predictions_of" in calls[order[0] : order[1]]  # looked for in between
    assert app.label_studio.info.model_version == "nnloop-v2"
    # Another program's predictions are none of our business.
    assert _held(app) == [(1, "nnloop-v2"), (1, "someone-elses")]


def test_a_dropped_prediction_is_reported_and_not_sent_again(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2)
    _predict(app, version, 1, 2)
    app.label_studio.drops = {2}
    report = publish(app.context, PROJECT)
    assert report is not None and (report.pushed, report.dropped) == (1, 1)
    assert _problems(app) == ["Task 2: Label Studio did not keep the prediction of nnloop-v1."]
    app.label_studio.calls.clear()
    publish(app.context, PROJECT)
    assert "import_predictions" not in app.label_studio.calls


def test_many_batches(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    version = app.add_version()
    app.add_tasks(*range(1, 6))
    _predict(app, version, *range(1, 6))
    app.label_studio.drops = {1, 3}
    report = publish(app.context, PROJECT)
    assert report is not None and (report.pushed, report.dropped) == (3, 2)
    assert app.label_studio.calls.count("import_predictions") == 3


def test_labelled_and_deleted_tasks_get_none(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1, 2, 3)
    _predict(app, version, 1, 2, 3)
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).state = TaskState.LABELLED
        session.get_one(TaskRow, 2).removed_at = 1.0
    publish(app.context, PROJECT)
    assert _held(app) == [(3, "nnloop-v1")]


def test_with_nothing_to_predict_the_version_is_published_all_the_same(app: FakeApp) -> None:
    app.add_version()
    publish(app.context, PROJECT)
    # Label Studio refuses a model_version without predictions.
    assert "set_model_version" not in app.label_studio.calls
    with app.store.begin() as session:
        assert session.scalars(select(VersionRow)).one().published_at is not None


def test_a_refusal_is_a_problem_until_it_works(app: FakeApp) -> None:
    version = app.add_version()
    app.add_tasks(1)
    _predict(app, version, 1)
    app.label_studio.is_down = True
    for _ in range(3):
        with pytest.raises(LabelStudioError):
            try_publish(app.context, PROJECT)
    assert _problems(app) == ["Label Studio can't be reached."]
    app.label_studio.is_down = False
    try_publish(app.context, PROJECT)
    assert _problems(app) == []
    assert _held(app) == [(1, "nnloop-v1")]


def test_what_an_older_store_does_not_know_goes_and_its_numbers_stay_taken(app: FakeApp) -> None:
    """As after a restored backup, or after a connection that was taken out before."""
    studio = app.label_studio
    version = app.add_version()
    app.add_tasks(1, 2)
    _predict(app, version, 1, 2)
    studio.predictions += [
        PushedPrediction(1, [polygon()], 0.1, "nnloop-v7", 50),
        PushedPrediction(1, [polygon()], 0.1, "nnloop-e9", 51),
        PushedPrediction(1, [polygon()], 0.1, "nnloop-v12-by-hand", 52),
    ]
    sync_project(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert _held(app) == [(1, "nnloop-v1"), (1, "nnloop-v12-by-hand"), (2, "nnloop-v1")]
    sync_project(app.context, PROJECT)  # they are gone there, and still not given again
    with app.store.begin() as session:
        run = runs.create_run(session, PROJECT, "", RunSettings())
        assert run is not None and versions.name_of(run) == "nnloop-v10"


def test_predictions_of_another_nnloop_are_left_alone(app: FakeApp) -> None:
    studio = app.label_studio
    version = app.add_version()
    app.add_tasks(1)
    _predict(app, version, 1)
    studio.predictions.append(PushedPrediction(1, [polygon()], 0.1, "nnloop-v7", 50))
    with app.store.begin() as session:
        fault = projects.Fault("other_nnloop", "Another nnloop has it too.", "")
        projects.set_faults(session, PROJECT, projects.CONNECTION, [fault])
    publish(app.context, PROJECT)
    assert _held(app) == [(1, "nnloop-v1"), (1, "nnloop-v7")]


def test_an_import_that_is_done_after_it_was_given_up_leaves_no_doubles(app: FakeApp) -> None:
    """A proxy answers 504, Label Studio goes on: nothing of it is there when it is looked for."""
    studio = app.label_studio
    version = app.add_version()
    app.add_tasks(*range(1, 31))
    _predict(app, version, *range(1, 31))
    sync_project(app.context, PROJECT)
    publish(app.context, PROJECT)
    late = [replace(row, id=1000 + (row.id or 0)) for row in studio.predictions]
    studio.predictions += late
    sync_project(app.context, PROJECT, wholly=True)  # the connection is looked at
    assert app.jobs.count(("publish", (PROJECT,))) == 1
    publish(app.context, PROJECT)
    assert len(_held(app)) == len(set(_held(app))) == 30
    app.queue.asked.clear()
    sync_project(app.context, PROJECT, wholly=True)
    assert ("publish", (PROJECT,)) not in app.jobs

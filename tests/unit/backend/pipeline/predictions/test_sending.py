"""What a push costs, and that nothing is lost for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.predictions import push, sending
from backend.pipeline.predictions.publish import publish
from backend.pipeline.predictions.push import push_part
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.tasks import predictions
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.models.versions import predict

NAME = "nnloop-v1"


_predict = partial(predict, score=lambda task_id: task_id / 100)


@pytest.fixture
def published(app: FakeApp) -> FakeApp:
    """A version whose predictions of tasks 1 to 10 were pushed; 11 to 20 have none."""
    version = app.add_version()
    app.add_tasks(*range(1, 21))
    _predict(app, version, *range(1, 11))
    publish(app.context, PROJECT)
    with app.store.begin() as session:
        session.get_one(VersionRow, version).published_at = 1.0
    app.label_studio.calls.clear()
    app.label_studio.looked_at.clear()
    return app


def _version(app: FakeApp) -> int:
    with app.store.begin() as session:
        return session.query(VersionRow).one().id


def _held(app: FakeApp) -> list[int]:
    return sorted(row.task_id for row in app.label_studio.predictions)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the project were large: a few predictions are stored one by one."""
    monkeypatch.setattr(sending, "TASKS_PER_CALL", 5)


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("by", [publish, push_part])
def test_one_prediction_reads_nothing_and_imports_nothing(published: FakeApp, by: object) -> None:
    _predict(published, _version(published), 11)
    assert callable(by)
    by(published.context, PROJECT)
    assert _held(published) == list(range(1, 12))
    calls = published.label_studio.calls
    assert calls.count("store_prediction") == 1
    assert {"import_predictions", "iter_tasks"}.isdisjoint(calls)
    assert all(ids == [] for ids in published.label_studio.looked_at)
    calls.clear()
    by(published.context, PROJECT)
    assert "store_prediction" not in calls


def test_of_many_it_is_counted_that_they_came(published: FakeApp) -> None:
    _predict(published, _version(published), *range(11, 16))
    publish(published.context, PROJECT)
    assert published.label_studio.calls.count("import_predictions") == 1
    assert published.label_studio.looked_at == [[], []]  # none was there before


def test_where_too_few_came_what_was_pushed_is_read_back(published: FakeApp) -> None:
    _predict(published, _version(published), *range(11, 16))
    published.label_studio.drops = {13}
    report = publish(published.context, PROJECT)
    assert report is not None and (report.pushed, report.dropped) == (4, 1)
    assert published.label_studio.looked_at == [[], [], [11, 12, 13, 14, 15]]


def test_an_answer_stored_during_the_import_is_not_left_beside_it(
    published: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predict(published, _version(published), *range(11, 16))
    studio = published.label_studio
    imported = studio.import_predictions

    def import_and_answer(project_id: int, rows: Sequence[PushedPrediction]) -> int:
        studio.predictions.append(PushedPrediction(12, [polygon()], 0.12, NAME, 99))
        return imported(project_id, rows)

    monkeypatch.setattr(studio, "import_predictions", import_and_answer)
    publish(published.context, PROJECT)
    assert _held(published) == list(range(1, 16))


@pytest.mark.usefixtures("one_by_one")
def test_what_is_refused_is_said_once(published: FakeApp) -> None:
    _predict(published, _version(published), 11, 12)
    published.label_studio.drops = {11}
    report = publish(published.context, PROJECT)
    assert report is not None and (report.pushed, report.dropped) == (1, 1)
    with published.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert problem.message == "Task 11: Label Studio did not keep the prediction of nnloop-v1."
    published.label_studio.calls.clear()
    publish(published.context, PROJECT)
    assert "store_prediction" not in published.label_studio.calls


@pytest.mark.usefixtures("one_by_one")
def test_a_task_deleted_meanwhile_stops_no_other(published: FakeApp) -> None:
    _predict(published, _version(published), 11, 12)
    del published.label_studio.tasks[11]
    report = publish(published.context, PROJECT)
    assert report is not None and report.pushed == 1
    assert 12 in _held(published)


@pytest.mark.parametrize("by", [publish, push_part])
def test_an_answer_that_label_studio_stored_by_itself_is_not_sent_again(
    published: FakeApp, by: object
) -> None:
    _predict(published, _version(published), 11)
    published.label_studio.predictions.append(PushedPrediction(11, [polygon()], 0.11, NAME, 99))
    assert callable(by)
    by(published.context, PROJECT)
    assert _held(published) == list(range(1, 12))
    with published.store.begin() as session:
        assert predictions.unpublished(session, _version(published), 10) == []


def test_a_longer_name_is_another_version(published: FakeApp) -> None:
    _predict(published, _version(published), 11)
    published.label_studio.predictions.append(PushedPrediction(11, [], 0.5, f"{NAME}-b", 99))
    publish(published.context, PROJECT)
    names = [r.model_version for r in published.label_studio.predictions if r.task_id == 11]
    assert sorted(names) == [NAME, f"{NAME}-b"]


def test_what_somebody_deleted_there_is_pushed_again(published: FakeApp) -> None:
    studio = published.label_studio
    studio.predictions = [row for row in studio.predictions if row.task_id != 3]
    publish(published.context, PROJECT)
    assert _held(published) == list(range(1, 11))


def test_a_person_has_everything_compared(published: FakeApp) -> None:
    studio = published.label_studio
    # As many as there should be, and yet one is missing.
    studio.predictions = [row for row in studio.predictions if row.task_id != 3]
    studio.predictions.append(PushedPrediction(20, [polygon()], 0.2, NAME, 99))
    publish(published.context, PROJECT)
    assert 3 not in _held(published)
    publish(published.context, PROJECT, wholly=True)
    assert 3 in _held(published)


def test_parts_of_a_large_project_are_pushed_less_often(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add_tasks(1, 2, 3)
    assert push.pause_s(app.context, PROJECT) == push.LEAST_PAUSE_S
    monkeypatch.setattr(push, "PAUSE_PER_TASK_S", 5.0)
    assert push.pause_s(app.context, PROJECT) == 15.0


def test_where_nothing_differs_nothing_is_read(published: FakeApp) -> None:
    publish(published.context, PROJECT)
    assert published.label_studio.looked_at == [[]]

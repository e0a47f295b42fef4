from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.images import is_overwritten, load_image
from backend.pipeline.predictions import withdraw as module
from backend.pipeline.predictions.publish import publish
from backend.pipeline.runs import reconcile
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks import elsewhere, predictions
from backend.store.tasks.elsewhere import ElsewhereRow
from converters.label_studio.predicted import as_predicted
from domain.errors import ImageError, LabelStudioError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png, polygon

LATER = "2026-02-02T00:00:00.000000Z"


def predict(app: FakeApp, version_id: int, *task_ids: int, at: float = 20.0) -> None:
    """What scoring does, without networks."""
    with app.store.begin() as session:
        for task_id in task_ids:
            task = session.get_one(TaskRow, task_id)
            row = PredictionRow(project_id=PROJECT, task_id=task_id, version_id=version_id)
            row.source, row.image_hash = task.source, task.image_hash
            row.result, row.score = [polygon(at=at)], at / 100
            predictions.save(session, row)


def held(app: FakeApp) -> dict[int, list[tuple[str, float | None]]]:
    found: dict[int, list[tuple[str, float | None]]] = {}
    for row in app.label_studio.predictions:
        found.setdefault(row.task_id, []).append((row.model_version, row.score))
    return found


def jobs(app: FakeApp) -> list[tuple[str, tuple[int, ...]]]:
    app.queue.asked.clear()
    reconcile.tick(app.context)
    return [job for job in app.jobs if job[0] in ("publish", "score")]


@pytest.fixture
def pushed(app: FakeApp) -> int:
    """Tasks 1 to 3, their predictions pushed, one of another model beside them."""
    for task_id in (1, 2, 3):
        app.label_studio.add_task(task_id)
    version = app.add_version(published_at=1.0)
    sync_project(app.context, PROJECT)
    predict(app, version, 1, 2, 3)
    publish(app.context, PROJECT)
    app.label_studio.predictions.append(PushedPrediction(1, [], 0.9, "a-persons-own", 77))
    return version


def _patch(app: FakeApp, task_id: int) -> None:
    studio = app.label_studio
    studio.images["/data/other.png"] = png(np.zeros((40, 48), np.uint8))
    studio.tasks[task_id] = replace(studio.tasks[task_id], data={"image": "/data/other.png"})


def test_a_changed_image_gets_a_prediction_of_its_own(app: FakeApp, pushed: int) -> None:
    _patch(app, 1)
    sync_project(app.context, PROJECT)
    assert ("score", (PROJECT, 0)) in app.jobs
    assert jobs(app) == [("publish", (PROJECT,))]
    publish(app.context, PROJECT)
    assert held(app)[1] == [("a-persons-own", 0.9)]
    assert held(app)[2] == held(app)[3] == [("nnloop-v1", 0.2)]
    assert jobs(app) == []
    predict(app, pushed, 1, at=40.0)
    publish(app.context, PROJECT)
    assert held(app)[1] == [("a-persons-own", 0.9), ("nnloop-v1", 0.4)]
    app.label_studio.calls.clear()
    publish(app.context, PROJECT)
    assert "task_predictions" not in app.label_studio.calls


def test_a_new_prediction_is_not_taken_for_the_old_one_that_is_still_there(
    app: FakeApp, pushed: int
) -> None:
    # Scored before the old one was withdrawn: what Label Studio holds then is not what was made.
    _patch(app, 1)
    sync_project(app.context, PROJECT)
    predict(app, pushed, 1, at=40.0)
    publish(app.context, PROJECT)
    assert held(app)[1] == [("a-persons-own", 0.9), ("nnloop-v1", 0.4)]


@pytest.mark.parametrize("after", [0, 1])
def test_a_withdrawal_that_is_cut_off_is_made_up_for(
    app: FakeApp, pushed: int, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    for task_id in (1, 2):
        _patch(app, task_id)
    sync_project(app.context, PROJECT)
    deleted: list[int] = []
    delete = app.label_studio.delete_prediction

    def cut_off(prediction_id: int) -> None:
        if len(deleted) == after:
            raise LabelStudioError("Label Studio can't be reached.")
        deleted.append(prediction_id)
        delete(prediction_id)

    with monkeypatch.context() as patch:
        patch.setattr(app.label_studio, "delete_prediction", cut_off)
        with pytest.raises(LabelStudioError):
            publish(app.context, PROJECT)
    assert jobs(app) == [("publish", (PROJECT,))]
    publish(app.context, PROJECT)
    assert held(app) == {3: [("nnloop-v1", 0.2)], 1: [("a-persons-own", 0.9)]}
    assert jobs(app) == []


def test_many_tasks_take_few_calls_and_a_limited_time(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = range(1, 61)
    for task_id in ids:
        app.label_studio.add_task(task_id)
    version = app.add_version(published_at=1.0)
    sync_project(app.context, PROJECT)
    predict(app, version, *ids)
    publish(app.context, PROJECT)
    # Deleted and imported again: the same ids, made later.
    app.label_studio.now = LATER
    for task_id in ids:
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        assert predictions.count_unscored(session, PROJECT, version) == 60
        assert predictions.counts(session, version) == (0, 0, 0)
    app.label_studio.calls.clear()
    monkeypatch.setattr(module, "WITHDRAW_S", -1.0)
    publish(app.context, PROJECT)  # no time at all: it is left to the next call
    assert len(held(app)) == 60
    monkeypatch.setattr(module, "WITHDRAW_S", 20.0)
    publish(app.context, PROJECT)
    assert held(app) == {}
    assert "task_predictions" not in app.label_studio.calls


def test_without_a_version_in_service_old_predictions_go_all_the_same(
    app: FakeApp, pushed: int
) -> None:
    with app.store.begin() as session:
        projects.get(session, PROJECT).champion_id = None
    _patch(app, 2)
    sync_project(app.context, PROJECT)
    assert jobs(app) == [("publish", (PROJECT,))]
    assert publish(app.context, PROJECT) is None
    assert 2 not in held(app)


def test_an_image_overwritten_in_place_is_noticed_when_it_is_fetched(
    app: FakeApp, pushed: int
) -> None:
    with app.store.begin() as session:
        project, task = projects.get(session, PROJECT), session.get_one(TaskRow, 1)
    config = label_config_of(project, project.settings)
    load_image(app.context, task, config)
    assert jobs(app) == []  # first fetched after the prediction, by a version before this was kept
    predict(app, pushed, 1)
    app.label_studio.images["/data/upload/1.png"] = png(np.zeros((40, 48), np.uint8))
    with app.store.begin() as session:
        task = session.get_one(TaskRow, 1)
    load_image(app.context, task, config)
    assert jobs(app) == [("publish", (PROJECT,))]
    with app.store.begin() as session:
        assert [t.id for t in predictions.unscored_tasks(session, PROJECT, pushed, 9)] == [1]


def test_what_another_program_said_of_an_overwritten_image_goes_too(app: FakeApp) -> None:
    """Imported masks have no hash of the image: they are of the one that was there."""
    for task_id in (1, 2):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        config = label_config_of(project, project.settings)
        tasks = {n: session.get_one(TaskRow, n) for n in (1, 2)}
        rows = [
            ElsewhereRow(
                project_id=PROJECT, task_id=n, model_version="sam", source=task.source,
                score=0.5, is_stated=True,
            )
            for n, task in tasks.items()
        ]  # fmt: skip
        elsewhere.save(session, rows)
    app.label_studio.predictions = [
        *(PushedPrediction(n, as_predicted([polygon()]), 0.5, "sam", n) for n in (1, 2)),
        PushedPrediction(1, [polygon()], 0.5, "somebody-elses", 3),
    ]
    for task in tasks.values():
        load_image(app.context, task, config)
    assert jobs(app) == []
    app.label_studio.images["/data/upload/1.png"] = png(np.zeros((40, 48), np.uint8))
    assert is_overwritten(app.context, tasks[1], config)
    assert not is_overwritten(app.context, tasks[2], config)
    assert jobs(app) == [("publish", (PROJECT,))]
    publish(app.context, PROJECT)
    assert held(app) == {1: [("somebody-elses", 0.5)], 2: [("sam", 0.5)]}
    with app.store.begin() as session:
        assert elsewhere.scores(session, PROJECT) == {2: 0.5}


@pytest.mark.parametrize("page", [b"", b"<html>Log in</html>", b"\x89PNG\r\n\x1a\n half a file"])
def test_what_is_no_image_says_nothing_about_the_image(
    app: FakeApp, pushed: int, page: bytes
) -> None:
    with app.store.begin() as session:
        project, task = projects.get(session, PROJECT), session.get_one(TaskRow, 1)
    config = label_config_of(project, project.settings)
    load_image(app.context, task, config)
    predict(app, pushed, 1)
    # Its server is in trouble for a while.
    app.label_studio.images["/data/upload/1.png"] = page
    assert not is_overwritten(app.context, task, config)
    with pytest.raises(ImageError):
        load_image(app.context, task, config)
    assert jobs(app) == []  # nothing is withdrawn
    with app.store.begin() as session:
        assert session.get_one(TaskRow, 1).image_hash == task.image_hash != ""
        assert predictions.find(session, pushed, [1])


def test_what_nnloop_pushed_before_the_project_was_disconnected_goes_too(app: FakeApp) -> None:
    app.label_studio.add_task(1)
    sync_project(app.context, PROJECT)
    marked = {**polygon(), "id": "nnloop-a7d7aa79bc"}
    app.label_studio.predictions = [
        PushedPrediction(1, [marked], 0.5, "nnloop-v7", 1),
        PushedPrediction(1, [polygon()], 0.5, "somebody-elses", 2),
    ]
    _patch(app, 1)
    sync_project(app.context, PROJECT)
    assert publish(app.context, PROJECT) is None
    assert [row.model_version for row in app.label_studio.predictions] == ["somebody-elses"]


def test_nothing_is_done_for_a_project_that_is_gone(app: FakeApp, pushed: int) -> None:
    _patch(app, 1)
    sync_project(app.context, PROJECT)
    fault = projects.Fault(projects.GONE, "It is gone.")
    with app.store.begin() as session:
        projects.add_fault(session, PROJECT, projects.CONNECTION, fault)
    assert jobs(app) == []

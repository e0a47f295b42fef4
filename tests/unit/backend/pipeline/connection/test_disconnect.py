from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from backend.label_studio import PushedPrediction
from backend.pipeline.connection import disconnect as module
from backend.pipeline.connection.connect import connect
from backend.pipeline.connection.disconnect import disconnect
from backend.pipeline.queues.fill import try_fill
from backend.pipeline.sync.drift import webhook_url
from backend.pipeline.sync.reading import sync_project
from backend.store.models import Base, ProjectRow
from backend.store.training.leases import next_lease
from domain.errors import (
    LabelStudioError,
    NotConnectedError,
    ProjectGoneError,
    StackError,
    TrainingError,
)
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.models.versions import add_version, predict


def rows(app: FakeApp) -> dict[str, int]:
    """Number of rows by table, empty ones left out."""
    with app.store.begin() as session:
        tables = Base.metadata.sorted_tables
        found = {t.name: session.scalar(select(func.count()).select_from(t)) or 0 for t in tables}
    return {name: n for name, n in found.items() if n}


@pytest.fixture
def busy(app: FakeApp) -> FakeApp:
    """A project with everything it can have, and another one beside it."""
    studio = app.label_studio
    studio.add_task(1)
    studio.add_task(2)
    studio.label(1, polygon())
    version = add_version(app, 1, published_at=1.0)
    sync_project(app.context, PROJECT)
    predict(app, version, 2)
    studio.predictions = [
        PushedPrediction(2, [], 0.5, "nnloop-v1", 1),
        PushedPrediction(2, [], 0.5, "a-persons-own", 2),
    ]
    studio.info = replace(studio.info, model_version="nnloop-v1")
    try_fill(app.context, PROJECT)
    assert studio.titles() == ["Default", "nnloop: admin"]
    with app.store.begin() as session:
        session.add(ProjectRow(id=9, title="Other"))
    return app


def test_everything_of_the_project_goes_and_nothing_else(busy: FakeApp) -> None:
    studio = busy.label_studio
    folder = busy.context.workspace(PROJECT).folder
    said = " ".join(disconnect(busy.context, PROJECT))
    assert rows(busy) == {"project": 1}
    assert (studio.backends, studio.webhooks, studio.titles()) == ([], {}, ["Default"])
    assert (studio.info.model_version, studio.info.sampling) == ("", "Sequential sampling")
    assert len(studio.predictions) == 2
    assert len(studio.tasks[1].annotations) == 1
    (aside,) = (busy.context.settings.data_dir / "disconnected").iterdir()
    assert (aside / "models" / "nnloop-v1").is_dir() and not folder.exists()
    for words in ("Took out the ML backend", "Took out the tab", str(aside), "Forgot project 1."):
        assert words in said
    with pytest.raises(NotConnectedError):
        disconnect(busy.context, PROJECT)
    # Connected and disconnected in the same second, nothing is overwritten.
    connect(busy.context, PROJECT, {})
    folder.mkdir(parents=True)
    disconnect(busy.context, PROJECT)
    assert len(list((busy.context.settings.data_dir / "disconnected").iterdir())) == 2


def test_purging(busy: FakeApp) -> None:
    said = disconnect(busy.context, PROJECT, purge=True)
    assert "Deleted 1 prediction of nnloop-v1." in said
    assert [row.model_version for row in busy.label_studio.predictions] == ["a-persons-own"]
    assert not busy.context.workspace(PROJECT).folder.exists()
    assert not (busy.context.settings.data_dir / "disconnected").exists()


@pytest.mark.parametrize("gone", ["project", "replaced", "backend", "label studio"])
def test_what_is_gone_already_is_no_obstacle(busy: FakeApp, gone: str) -> None:
    studio = busy.label_studio
    if gone == "project":
        studio.info = replace(studio.info, id=99)
    elif gone == "replaced":
        with busy.store.begin() as session:
            session.get_one(ProjectRow, PROJECT).created_at = "2020-01-01T00:00:00.000000Z"
        studio.info = replace(studio.info, created_at="2026-01-01T00:00:00.000000Z")
    elif gone == "backend":
        studio.backends = []
    else:
        studio.is_down = True
        with pytest.raises(LabelStudioError):
            disconnect(busy.context, PROJECT)
        assert rows(busy)["task"] == 2
        with pytest.raises(ProjectGoneError, match="is being disconnected"):
            sync_project(busy.context, PROJECT)
    said = " ".join(disconnect(busy.context, PROJECT, local=gone == "label studio"))
    assert rows(busy) == {"project": 1}
    if gone == "replaced":
        # The new project's own is not touched.
        assert studio.backends and studio.titles()[1:] and studio.info.model_version
    words = {
        "project": "Nothing is left there",
        "replaced": "Nothing is left there",
        "backend": "was gone already",
        "label studio": "was not asked",
    }
    assert words[gone] in said
    assert (webhook_url(busy.context.settings) in studio.webhooks) == (gone != "backend")


def test_a_disconnect_that_broke_off_can_be_taken_back(busy: FakeApp) -> None:
    busy.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        disconnect(busy.context, PROJECT)
    busy.label_studio.is_down = False
    connect(busy.context, PROJECT, {})
    assert sync_project(busy.context, PROJECT).tasks == 2


def test_an_active_run_is_cancelled_first(busy: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = busy.add_run(RunStatus.TRAINING, 2)
    with busy.store.begin() as session:
        session.merge(busy.run(run_id)).lease_until = next_lease()  # a worker is at it
    monkeypatch.setattr(module, "END_S", 0.0)
    with pytest.raises(TrainingError, match="Run 2 of project 1 is being cancelled, but"):
        disconnect(busy.context, PROJECT)
    with busy.store.begin() as session:
        session.merge(busy.run(run_id)).lease_until = 0.0
    assert disconnect(busy.context, PROJECT)[0] == "Cancelled run 2."
    assert rows(busy) == {"project": 1}


def test_a_new_project_under_the_id_of_a_deleted_one_starts_afresh(busy: FakeApp) -> None:
    busy.change_settings(min_annotations=2, seed=7)
    with busy.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).created_at = "2020-01-01T00:00:00.000000Z"
    studio = busy.label_studio
    studio.info = replace(studio.info, created_at="2026-01-01T00:00:00.000000Z", title="Knees")
    report = connect(busy.context, PROJECT, {"seed": 3})
    assert (report.was_known, report.settings.min_annotations) == (False, 10)
    assert "The id belonged to 'Carotid', which Label Studio has no more." in report.done
    assert rows(busy) == {"project": 2, "queue_tab": 1}
    assert len(list((busy.context.settings.data_dir / "disconnected").iterdir())) == 1
    assert sync_project(busy.context, PROJECT).tasks == 2


@pytest.mark.parametrize(
    "step",
    [
        "register_backend",
        "ensure_webhook",
        "set_sampling_uncertainty",
    ],
)
def test_a_connect_that_fails_is_undone(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    studio = app.label_studio
    studio.info = replace(studio.info, id=5, title="Nerves", sampling="Sequential sampling")
    studio.backends, studio.webhooks = [], {}
    before = studio.info

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise LabelStudioError("Label Studio refused.")

    monkeypatch.setattr(studio, step, refuse)
    with pytest.raises(LabelStudioError):
        connect(app.context, 5, {})
    assert (studio.backends, studio.webhooks, studio.titles()) == ([], {}, [])
    assert studio.info == before
    assert app.jobs == []
    with app.store.begin() as session:
        assert session.get(ProjectRow, 5) is None


def test_nothing_is_connected_while_redis_is_down(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.label_studio.info = replace(app.label_studio.info, id=5)
    monkeypatch.setattr(app.queue, "ping", lambda: False)
    with pytest.raises(StackError, match="Redis does not answer"):
        connect(app.context, 5, {})
    assert app.label_studio.calls == ["find_project"]


def test_what_another_nnloop_has_connected_is_left_to_it(busy: FakeApp) -> None:
    studio = busy.label_studio
    studio.backends = [replace(studio.backends[0], url="http://other:9090")]
    studio.webhooks = {"http://other:9090/webhook": {"Authorization": "Basic b3RoZXI="}}
    before = (studio.info, studio.titles(), dict(studio.webhooks), list(studio.predictions))
    said = " ".join(disconnect(busy.context, PROJECT, purge=True))
    assert "is connected to the nnloop at http://other:9090: nothing was taken out" in said
    assert (studio.info, studio.titles(), studio.webhooks, studio.predictions) == before
    assert [backend.url for backend in studio.backends] == ["http://other:9090"]
    assert rows(busy) == {"project": 1}


def test_a_purge_takes_the_predictions_of_an_earlier_connection_too(busy: FakeApp) -> None:
    busy.label_studio.predictions.append(PushedPrediction(1, [], 0.5, "nnloop-v8", 3))
    said = disconnect(busy.context, PROJECT)
    assert any("nnloop-v1, nnloop-v8 stay in Label Studio" in line for line in said)
    connect(busy.context, PROJECT, {})
    said = disconnect(busy.context, PROJECT, purge=True)
    assert "Deleted 1 prediction of nnloop-v8." in said
    left = [row.model_version for row in busy.label_studio.predictions]
    assert left == ["a-persons-own"]

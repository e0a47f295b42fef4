from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from backend.pipeline.labels.mapping import LabelChange, change_labels
from backend.pipeline.labels.questions import RENAME_OF_VERSION
from backend.pipeline.predictions.publish import publish, try_publish
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.status import project_report
from backend.pipeline.sync.drift import STANDS_STILL, webhook_url
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import ProjectRow
from backend.store.training import runs
from domain.errors import LabelStudioAuthError, ProjectGoneError
from domain.states import RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import FakeLabelStudio, polygon
from tests.unit.backend.pipeline.models.versions import add_version, predict


def faults(app: FakeApp) -> dict[str, str]:
    """Reason -> message and remedy, after a reading."""
    sync_project(app.context, PROJECT, wholly=True)
    return said(app)


def said(app: FakeApp) -> dict[str, str]:
    found = project_report(app.context, PROJECT).problems
    return {p.reason: f"{p.message} {p.remedy}" for p in found if p.stage == "connection"}


def _no_backend(studio: FakeLabelStudio) -> None:
    studio.backends = []


def _no_webhook(studio: FakeLabelStudio) -> None:
    studio.webhooks = {}


def _no_login(studio: FakeLabelStudio) -> None:
    studio.webhooks = {url: {"Authorization": "Basic b2xk"} for url in studio.webhooks}


def _other_version(studio: FakeLabelStudio) -> None:
    studio.info = replace(studio.info, model_version="somebody-else")


def _random_order(studio: FakeLabelStudio) -> None:
    studio.info = replace(studio.info, sampling="Uniform sampling")


def _renamed(studio: FakeLabelStudio) -> None:
    config = studio.info.label_config.replace('"wall"', '"media"')
    studio.info = replace(studio.info, label_config=config)


def _added(studio: FakeLabelStudio) -> None:
    config = studio.info.label_config.replace("<Label ", '<Label value="plaque"/><Label ', 1)
    studio.info = replace(studio.info, label_config=config)


def _no_predictions(studio: FakeLabelStudio) -> None:
    studio.predictions = []


def _moved(studio: FakeLabelStudio) -> None:
    headers = next(iter(studio.webhooks.values()))
    studio.backends = [replace(studio.backends[0], url="http://old:9090")]
    studio.webhooks = {"http://old:9090/webhook": headers}


def _of_another_nnloop(studio: FakeLabelStudio) -> None:
    studio.backends = [replace(studio.backends[0], url="http://other:9090")]
    studio.webhooks = {"http://other:9090/webhook": {"Authorization": "Basic b3RoZXI="}}


def _unusable(studio: FakeLabelStudio) -> None:
    studio.info = replace(studio.info, label_config="<View/>")


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (_no_backend, "backend_missing", "taken out of the project.*nnloop connect 1"),
        (_no_webhook, "webhook", "was deleted: .* by the clock only.*nnloop connect 1"),
        (_no_login, "webhook", "lacks the header that logs it in"),
        (_other_version, "model_version", "'somebody-else'.*'nnloop-v1' serves.*nnloop publish 1"),
        (_random_order, "sampling", "'Uniform sampling'.*nnloop connect 1"),
        (_added, "labels", "new is 'plaque'. The next training learns the labels as they are"),
        (_no_predictions, "predictions_missing", "lost 1 of the 1 pred.*nnloop publish 1"),
        (_moved, "backend_moved", "asks http://old:9090 .*nnloop connect 1"),
        (_of_another_nnloop, "other_nnloop", "nnloop at http://other:9090.*nnloop disconnect 1"),
        (_unusable, "label_config", "no control that nnloop can use"),
    ],
)
def test_a_change_is_said_within_one_reading_and_closed_when_mended(
    app: FakeApp, change: Callable[[FakeLabelStudio], None], reason: str, words: str
) -> None:
    version = add_version(app, 1)
    studio = app.label_studio
    app.add_tasks(1)
    predict(app, version, 1)
    publish(app.context, PROJECT)
    assert faults(app) == {}
    before = (studio.info, studio.backends, studio.webhooks, studio.predictions)
    change(studio)
    found = faults(app)
    assert set(found) == {reason}
    assert re.search(words, found[reason]), found
    assert faults(app) == found
    studio.info, studio.backends, studio.webhooks, studio.predictions = before
    assert faults(app) == {}


@pytest.mark.parametrize("change", [_no_predictions, _other_version])
def test_what_publishing_mends(app: FakeApp, change: Callable[[FakeLabelStudio], None]) -> None:
    version = add_version(app, 1)
    app.add_tasks(1)
    predict(app, version, 1)
    publish(app.context, PROJECT)
    change(app.label_studio)
    assert len(faults(app)) == 1
    try_publish(app.context, PROJECT)
    assert said(app) == {}
    assert [row.task_id for row in app.label_studio.predictions] == [1]
    assert app.label_studio.info.model_version == "nnloop-v1"
    assert faults(app) == {}


def test_nothing_is_missed_where_every_task_was_labelled(app: FakeApp) -> None:
    add_version(app, 1)
    app.add_tasks(1)
    app.label_studio.label(1, polygon())
    sync_project(app.context, PROJECT)
    publish(app.context, PROJECT)
    # Label Studio refuses a model version without predictions: the one before stays.
    app.label_studio.info = replace(app.label_studio.info, model_version="nnloop-v0")
    assert faults(app) == {}


def test_a_rename_that_was_told_of_is_no_fault(app: FakeApp) -> None:
    add_version(app, 1)
    _renamed(app.label_studio)
    # It is asked about once, as a question.
    assert faults(app) == {}
    (asked,) = project_report(app.context, PROJECT).problems
    assert (asked.stage, asked.reason) == ("labels", RENAME_OF_VERSION)
    assert asked.remedy.startswith("Yes: nnloop labels 1 --map wall=media; no: ")
    # Kept apart it is no question any more, but the labels are others still.
    change_labels(app.context, PROJECT, LabelChange(apart=[("wall", "media")]))
    assert set(faults(app)) == {"labels"}
    change_labels(app.context, PROJECT, LabelChange(renamed=[("wall", "media")]))
    assert faults(app) == {}
    assert project_report(app.context, PROJECT).problems == ()


def test_a_webhook_that_is_switched_off(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    (hook,) = app.label_studio.list_webhooks(PROJECT)
    for changed in (replace(hook, is_active=False), replace(hook, is_complete=False)):
        monkeypatch.setattr(app.label_studio, "list_webhooks", lambda _id, one=changed: [one])
        assert "is switched off" in faults(app)["webhook"]
    assert hook.url == webhook_url(app.context.settings)
    assert "Basic" not in repr(hook)


def test_a_connection_that_can_not_be_looked_at_stops_nothing(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_project_id: int) -> None:
        raise LabelStudioAuthError("Only managers may see backends.")

    monkeypatch.setattr(app.label_studio, "list_backends", refuse)
    app.label_studio.add_task(1)
    assert sync_project(app.context, PROJECT).tasks == 1


@pytest.mark.parametrize("how", ["deleted", "another one has its id"])
def test_a_project_that_is_gone_stands_still(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    app.add_version(published_at=1.0)
    app.add_tasks(1)
    assert sync_project(app.context, PROJECT).tasks == 1
    run_id = app.add_run(RunStatus.TRAINING, 2)
    studio = app.label_studio
    before = replace(studio.info, model_version="nnloop-v1")
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).created_at = "2026-01-01T00:00:00.000000Z"
        projects.add_hint(session, PROJECT, projects.START_TRAINING, [])
    if how == "deleted":
        studio.info = replace(before, id=99)
        reason, words = "project_gone", "is not in Label Studio any more"
    else:
        studio.info = replace(before, created_at="2026-05-05T00:00:00.000000Z", title="Knees")
        reason, words = "project_replaced", "its id has gone to another project, 'Knees'"
    with pytest.raises(ProjectGoneError, match=words):
        sync_project(app.context, PROJECT)
    assert set(said(app)) == {reason}
    assert "nnloop disconnect 1" in said(app)[reason]
    run = app.run(run_id)
    assert (run.control, run.note) == (RunControl.PAUSE, STANDS_STILL)
    assert not score_chunk(app.context, PROJECT)
    with pytest.raises(ProjectGoneError, match="Nothing is pushed to project 1"):
        try_publish(app.context, PROJECT)
    with app.store.begin() as session:
        assert projects.open_hints(session) == []
        assert session.get_one(ProjectRow, PROJECT).title == "Carotid"
    # It is back, from a backup say: everything goes on.
    studio.info = replace(before, created_at="2026-01-01T00:00:00.000000Z")
    assert faults(app) == {}
    run = app.run(run_id)
    assert (run.control, run.note) == (RunControl.RUN, "")


def test_a_run_that_a_person_paused_stays_paused(app: FakeApp) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        run = runs.active_run(session, PROJECT)
        assert run is not None
        runs.set_control(session, run, RunControl.PAUSE)
    before = app.label_studio.info
    app.label_studio.info = replace(before, id=99)
    with pytest.raises(ProjectGoneError):
        sync_project(app.context, PROJECT)
    app.label_studio.info = before
    sync_project(app.context, PROJECT)
    assert app.run(run_id).control == RunControl.PAUSE


def test_a_refused_key(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_project_id: int) -> None:
        raise LabelStudioAuthError("Label Studio refused the key.", remedy="Make a new one.")

    with monkeypatch.context() as patch:
        patch.setattr(app.label_studio, "project", refuse)
        for _ in range(2):
            with pytest.raises(LabelStudioAuthError):
                sync_project(app.context, PROJECT)
    assert said(app) == {"key_refused": "Label Studio refused the key. Make a new one."}
    assert faults(app) == {}

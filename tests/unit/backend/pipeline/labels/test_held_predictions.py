"""Predictions whose labels were renamed: held, and sent under the new name."""

from __future__ import annotations

import pytest

from backend.pipeline.labels.mapping import LabelChange, change_labels
from backend.pipeline.predictions.publish import publish
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.sync.reading import sync_project
from backend.store.models import VersionRow
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG
from tests.unit.backend.pipeline.labels.renamed import (
    MAPPED,
    RENAMED,
    problems,
    pushed,
    serve,
    set_config,
    shows,
    trained_app,
)


@pytest.mark.usefixtures("_networks")
def test_predictions_that_lost_a_label_are_held_and_go_out_under_the_new_name(app: FakeApp) -> None:
    trained_app(app)
    version = serve(app, "lumen", "wall")
    for task_id in (31, 32, 33):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, 32, 33, labels={"lumen", "wall"})

    set_config(app, RENAMED)
    publish(app.context, PROJECT)
    assert pushed(app) == {}  # nobody is shown regions without a label
    held = [row for row in problems(app) if row.reason == "held"]
    assert [row.message for row in held] == [
        '3 predictions of nnloop-v1 are held: the labelling interface lacks "lumen".'
    ]
    assert "nnloop labels 1 --map OLD=NEW" in held[0].remedy
    # One made meanwhile is held from the start.
    app.label_studio.add_task(34)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app) == {}

    fetched = list(app.label_studio.fetched)
    change_labels(app.context, PROJECT, MAPPED)
    with app.store.begin() as session:
        assert session.get_one(VersionRow, version).published_at is None  # the next tick publishes
    report = publish(app.context, PROJECT)
    assert report is not None and (report.pushed, report.dropped) == (4, 0)
    assert pushed(app) == shows(31, 32, 33, 34, labels={"Lumen", "wall"})
    assert problems(app) == []
    assert app.label_studio.fetched == fetched  # nothing was predicted again
    again = publish(app.context, PROJECT)
    assert again is not None and again.pushed == 0

    # The rename is corrected: what was pushed under the wrong name goes out under the right one.
    set_config(app, RENAMED.replace("<Label", '<Label value="core"/><Label', 1))
    change_labels(app.context, PROJECT, LabelChange(renamed=[("lumen", "core")]))
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, 32, 33, 34, labels={"core", "wall"})
    # And taken back altogether.
    change_labels(app.context, PROJECT, LabelChange(forgotten=["lumen"]))
    set_config(app, CONFIG)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, 32, 33, 34, labels={"lumen", "wall"})


@pytest.mark.usefixtures("_networks")
def test_an_interface_that_can_not_be_read_withdraws_nothing(app: FakeApp) -> None:
    trained_app(app)
    version = serve(app, "lumen", "wall")
    app.label_studio.add_task(31)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    set_config(app, "<View")
    with app.store.begin() as session:
        assert session.get_one(VersionRow, version).published_at is not None
    assert problems(app) == []
    set_config(app, CONFIG)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, labels={"lumen", "wall"})
    assert app.label_studio.calls.count("import_predictions") == 1  # they were there


@pytest.mark.usefixtures("_networks")
def test_classes_that_became_one_are_predicted_as_one(app: FakeApp) -> None:
    trained_app(app)
    serve(app, "lumen", "wall")
    app.label_studio.add_task(31)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    set_config(app, CONFIG.replace('"lumen"', '"vessel"').replace('<Label value="wall"/>', ""))
    change = LabelChange(renamed=[("lumen", "vessel"), ("wall", "vessel")])
    change_labels(app.context, PROJECT, change)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app) == {31: {"vessel"}}


@pytest.mark.usefixtures("_networks")
def test_many_predictions_are_replaced_in_one_call(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.pipeline.predictions.held.MAX_SINGLE", 1)
    trained_app(app)
    serve(app, "lumen", "wall")
    for task_id in (31, 32, 33):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, 32, 33, labels={"Lumen", "wall"})
    assert "delete_prediction" not in app.label_studio.calls

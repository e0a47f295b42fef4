from __future__ import annotations

from dataclasses import replace

import pytest

from backend.pipeline.runs.request import request_training
from backend.pipeline.sync import hint_report, reading
from backend.pipeline.sync.hint_report import hint_reports
from backend.store import projects
from backend.store.models import ProjectRow
from domain.errors import LabelStudioError, NotConnectedError, ProjectGoneError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.sync.changing import hint


def _decisions(app: FakeApp) -> list[str]:
    """Of the hints, oldest first."""
    return [one.decision for one in reversed(hint_reports(app.context, str(PROJECT), 100))]


def _sync(app: FakeApp) -> None:
    reading.sync_project(app.context, PROJECT)


def test_each_hint_says_what_came_of_it(app: FakeApp) -> None:
    app.change_settings(min_annotations=3)
    for task_id in (1, 2, 3, 4):
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    app.label_studio.label(2, was_cancelled=True)
    hint(app, 1)
    hint(app, 2)
    hint(app, 3)
    hint(app, 77)
    hint(app, action="PROJECT_UPDATED")
    _sync(app)
    waits = "1 of 3 annotations, 2 more needed"
    assert _decisions(app) == [
        f"counted; {waits}",
        f"skipped; {waits}",
        f"not labelled; {waits}",
        f"gone; {waits}",
        f"read, 2 changes; {waits}",
    ]
    hint(app, 1)  # saved again as it was
    hint(app, action="PROJECT_UPDATED")
    _sync(app)
    assert _decisions(app)[5:] == [f"already read; {waits}", f"read, no change; {waits}"]


def test_a_hint_of_many_tasks_counts_them(app: FakeApp) -> None:
    for task_id in range(1, 1201):  # more than one query asks for
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    app.label_studio.label(2, was_cancelled=True)
    hint(app, *range(1, 1301), action="TASKS_CREATED")
    _sync(app)
    (said,) = _decisions(app)
    assert said.startswith("1 counted, 1 skipped, 1198 not labelled, 100 gone; 1 of ")


def test_the_hint_that_starts_a_training_says_which(app: FakeApp) -> None:
    app.change_settings(min_annotations=1)
    app.label_studio.add_task(1)
    app.label_studio.label(1, polygon())
    hint(app, 1)
    _sync(app)
    assert _decisions(app) == [
        "counted; starts training run 1: 1 annotation, the first training is due"
    ]
    app.label_studio.add_task(2)
    app.label_studio.label(2, polygon())
    hint(app, 2)
    _sync(app)
    assert _decisions(app)[1:] == ["counted; run 1 is queued, what is new is for the one after it"]


def test_a_person_s_request_says_what_became_of_it(app: FakeApp) -> None:
    app.label_studio.add_task(1)
    request_training(app.context, PROJECT)
    request_training(app.context, PROJECT)  # twice, before anything was read
    _sync(app)
    assert _decisions(app) == ["starts training run 1: requested by a person"] * 2
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, projects.START_TRAINING, [])
    _sync(app)
    assert _decisions(app)[2].startswith("The training that was asked for was not started: another")


def test_what_waits_says_for_what(app: FakeApp) -> None:
    app.label_studio.add_task(1)
    hint(app, 1)
    assert _decisions(app) == ["waits for the next reading"]
    app.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        _sync(app)
    assert _decisions(app) == ["waits: Label Studio can't be reached. Start it."]
    app.label_studio.is_down = False
    _sync(app)
    assert _decisions(app)[0].startswith("not labelled; ")


def test_a_project_that_is_gone_says_so(app: FakeApp) -> None:
    _sync(app)
    hint(app, 1)
    app.label_studio.info = replace(app.label_studio.info, id=99)
    with pytest.raises(ProjectGoneError):
        _sync(app)
    assert _decisions(app)[0].startswith("ignored: ")


def test_webhooks_of_another_project_of_this_id_are_ignored(app: FakeApp) -> None:
    hint(app, 1, action=projects.OTHER_PROJECT)
    _sync(app)
    assert _decisions(app) == ["ignored: it is of another project, which has the id of this one"]


def test_a_project_that_is_not_connected_is_found_by_its_id(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.add(ProjectRow(id=8, title="9"))  # whose title is the id of another
        projects.add_hint(session, 9, "A", [1], decision="project 9 is not connected")
        projects.add_hint(session, 10, "B", [2], decision="project 10 is not connected")
    assert hint_reports(app.context, "9", 5) == ()  # a title comes first, as everywhere
    (report,) = hint_reports(app.context, "10", 5)
    assert (report.project, report.tasks, report.title) == (10, (2,), "")
    assert report.handled_at is not None
    assert [one.project for one in hint_reports(app.context, "", 5)] == [10, 9]
    assert len(hint_reports(app.context, "", 1)) == 1
    with pytest.raises(NotConnectedError):
        hint_reports(app.context, "11", 5)
    others = hint_report.unconnected_reports(app.context)
    assert [(one.project, one.hints) for one in others] == [(9, 1), (10, 1)]

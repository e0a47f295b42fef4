"""The tab 'Check these labels' lists what is to be checked, and nothing is sent in vain."""

from __future__ import annotations

import pytest

from backend.pipeline.connection.disconnect import disconnect
from backend.pipeline.doubts.report import check_report
from backend.pipeline.doubts.tab import MOST_TASKS, STAGE, TITLE, check_labels, try_check
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from domain.errors import LabelStudioError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.doubts.doubtful import N_LABELS, doubt, label_all, wrong


@pytest.fixture
def doubted(app: FakeApp) -> FakeApp:
    label_all(app)
    doubt(app, of={5: [wrong()], 9: [wrong(0.7)]})
    return app


def check(app: FakeApp) -> list[str]:
    """What is asked of Label Studio, beside the list of tabs."""
    app.label_studio.calls.clear()
    check_labels(app.context, PROJECT)
    return [name for name in app.label_studio.calls if name != "list_tabs"]


def listed(app: FakeApp) -> list[int]:
    (data,) = (tab for tab in app.label_studio.tabs.values() if tab["title"] == TITLE)
    filters = data["filters"]
    assert filters["conjunction"] == "or"
    assert {item["operator"] for item in filters["items"]} == {"equal"}
    return [item["value"] for item in filters["items"]]


def correct(app: FakeApp, task_id: int) -> None:
    app.label_studio.label(task_id, polygon("lumen"))
    sync_project(app.context, PROJECT)


def test_it_lists_the_doubtful_tasks_and_those_that_are_corrected_leave(doubted: FakeApp) -> None:
    assert check(doubted) == ["create_queue_tab"]
    assert listed(doubted) == [5, 9]
    assert check_report(doubted.context, PROJECT).tab_url.endswith("/projects/1/data?tab=2")
    assert check(doubted) == check(doubted) == []
    correct(doubted, 5)
    assert check(doubted) == ["update_queue_tab"]
    assert listed(doubted) == [9]


def test_it_goes_when_nothing_is_left_to_check(doubted: FakeApp) -> None:
    check(doubted)
    correct(doubted, 5)
    correct(doubted, 9)
    assert check(doubted) == ["delete_tab"]
    assert doubted.label_studio.titles() == ["Default"]
    assert check(doubted) == [] and doubted.label_studio.calls == []


def test_no_doubts_no_calls(app: FakeApp) -> None:
    label_all(app)
    check(app)
    assert app.label_studio.calls == []


def test_a_tab_that_somebody_deleted_or_renamed_is_made_right(doubted: FakeApp) -> None:
    check(doubted)
    ((number, _),) = [
        item for item in doubted.label_studio.tabs.items() if item[1]["title"] == TITLE
    ]
    doubted.label_studio.tabs[number] = {**doubted.label_studio.tabs[number], "title": "mine"}
    assert check(doubted) == ["update_queue_tab"]
    del doubted.label_studio.tabs[number]
    assert check(doubted) == ["create_queue_tab"]
    assert listed(doubted) == [5, 9]


def test_without_the_setting_there_is_none(doubted: FakeApp) -> None:
    check(doubted)
    doubted.change_settings(check_tab=False, min_annotations=10_000)
    assert check(doubted) == ["delete_tab"]
    assert len(check_report(doubted.context, PROJECT).labels) == 2


def test_it_has_no_more_than_a_person_looks_through(app: FakeApp) -> None:
    label_all(app, 600)
    doubt(app, of={i: [wrong(0.5 + i / 2000)] for i in range(1, 51)})
    check(app)
    assert len(listed(app)) == MOST_TASKS
    assert len(check_report(app.context, PROJECT).labels) == 50


def test_label_studio_does_not_answer(doubted: FakeApp) -> None:
    doubted.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        check_labels(doubted.context, PROJECT)
    try_check(doubted.context, PROJECT)
    assert TITLE in problem(doubted)
    doubted.label_studio.is_down = False
    try_check(doubted.context, PROJECT)
    assert problem(doubted) == ""
    assert listed(doubted) == [5, 9]


def problem(app: FakeApp) -> str:
    with app.store.begin() as session:
        rows = projects.open_problems(session, PROJECT)
        return "".join(row.message for row in rows if row.stage == STAGE)


def test_disconnecting_takes_it_out_and_forgets(doubted: FakeApp) -> None:
    check(doubted)
    done = disconnect(doubted.context, PROJECT)
    assert f"Took out the tab {TITLE!r}." in done
    assert TITLE not in doubted.label_studio.titles()


def test_the_labels_are_all_there_are(doubted: FakeApp) -> None:
    assert check_report(doubted.context, PROJECT).n_compared == N_LABELS

"""Annotators' tabs on a real Label Studio."""

from __future__ import annotations

from typing import Any

import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction
from backend.label_studio.views import Tab
from domain.errors import MissingError

TITLE = "nnloop: Anna"


def tab_of(client: LabelStudioClient, project: ProjectInfo, tab_id: int) -> Tab:
    return next(tab for tab in client.list_tabs(project.id) if tab.id == tab_id)


def listed(client: LabelStudioClient, tab_id: int) -> list[int]:
    answer = client._connection.json("GET", "/api/tasks/", params={"view": tab_id})
    return [task["id"] for task in answer["tasks"]]


@pytest.fixture
def ids(client: LabelStudioClient, project: ProjectInfo) -> list[int]:
    """Six tasks; the last has no prediction."""
    found = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(6)])
    scores = dict(zip(found[:5], [0.7, 0.2, 0.9, 0.4, 0.1], strict=True))
    client.import_predictions(
        project.id, [PushedPrediction(i, [], s, "v1") for i, s in scores.items()]
    )
    client.import_predictions(  # another version must not mix in
        project.id, [PushedPrediction(i, [], 1 - s, "v0") for i, s in scores.items()]
    )
    client.set_model_version(project.id, "v1")
    return found


def test_a_queue_shows_its_tasks_alone_lowest_score_first(
    client: LabelStudioClient, project: ProjectInfo, ids: list[int]
) -> None:
    mine = [ids[0], ids[1], ids[2], ids[5]]
    tab_id = client.create_queue_tab(project.id, TITLE, mine)
    assert listed(client, tab_id) == [ids[1], ids[0], ids[2], ids[5]]
    tab = tab_of(client, project, tab_id)
    assert tab.shows(TITLE, {*mine}) and not tab.shows(TITLE, mine[:3])
    assert [tab.title for tab in client.list_tabs(project.id)] == ["Default", TITLE]


def test_a_tab_serves_its_tasks_lowest_score_first_then_nothing(
    client: LabelStudioClient, project: ProjectInfo, ids: list[int]
) -> None:
    mine = [ids[0], ids[1], ids[2], ids[5]]
    tab = tab_of(client, project, client.create_queue_tab(project.id, TITLE, mine))
    assert tab.task_ids == {*mine}
    served = []
    while (found := client.next_in_tab(project.id, tab)) is not None:
        served.append((found.task.id, [row.model_version for row in found.predictions]))
        client.annotate(found.task.id, [])
    # Another tab's tasks are left, and Label Studio's own stream would serve them.
    assert served == [(ids[1], ["v1"]), (ids[0], ["v1"]), (ids[2], ["v1"]), (ids[5], [])]


def test_a_tab_of_no_tasks_serves_none(
    client: LabelStudioClient, project: ProjectInfo, ids: list[int]
) -> None:
    tab = tab_of(client, project, client.create_queue_tab(project.id, TITLE, []))
    assert ids and client.next_in_tab(project.id, tab) is None
    assert tab.task_ids == frozenset()


def test_an_empty_queue_shows_nothing_and_not_everything(
    client: LabelStudioClient, project: ProjectInfo, ids: list[int]
) -> None:
    tab_id = client.create_queue_tab(project.id, TITLE, [])
    assert listed(client, tab_id) == []
    assert tab_of(client, project, tab_id).shows(TITLE, ())


@pytest.mark.parametrize(
    "change",
    [
        {"ordering": ["-tasks:id"]},
        {"title": "Mine"},
        {"filters": {"conjunction": "or", "items": []}},
    ],
)
def test_what_a_person_changes_is_put_right_and_their_looks_stay(
    client: LabelStudioClient, project: ProjectInfo, ids: list[int], change: dict[str, Any]
) -> None:
    tab_id = client.create_queue_tab(project.id, TITLE, ids[:2])
    tab = tab_of(client, project, tab_id)
    data = {**tab.data, **change, "columnsWidth": {"tasks:id": 80}}
    body = {"project": project.id, "data": data}
    client._connection.json("PATCH", f"/api/dm/views/{tab_id}/", body=body)
    changed = tab_of(client, project, tab_id)
    assert not changed.shows(TITLE, ids[:2])
    client.update_queue_tab(project.id, changed, TITLE, ids[2:4])
    right = tab_of(client, project, tab_id)
    assert right.shows(TITLE, ids[2:4])
    assert right.data["columnsWidth"] == {"tasks:id": 80}
    assert listed(client, tab_id) == [ids[3], ids[2]]


def test_deleting_a_tab(client: LabelStudioClient, project: ProjectInfo) -> None:
    tab_id = client.create_queue_tab(project.id, TITLE, [])
    client.delete_tab(tab_id)
    assert [tab.title for tab in client.list_tabs(project.id)] == ["Default"]
    with pytest.raises(MissingError):
        client.delete_tab(tab_id)


def test_who_has_begun_what(
    client: LabelStudioClient, project: ProjectInfo, ids: list[int]
) -> None:
    assert client.drafted_tasks(project.id) == []
    client._connection.json("POST", f"/api/tasks/{ids[2]}/drafts", body={"result": []})
    assert client.drafted_tasks(project.id) == [ids[2]]
    assert client.draft_owners(ids[2]) == {client.whoami().id}
    assert client.draft_owners(ids[0]) == set()
    assert client.draft_owners(10**9) == set()


def test_everybody_with_an_account(client: LabelStudioClient) -> None:
    assert client.whoami().id in [user.id for user in client.list_users()]

import base64
import json
from collections.abc import Callable

import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.stack.ports import free_port
from domain.errors import LabelStudioError
from tests.fakes.listener import Listener
from tests.integration.label_studio.conftest import region

LOGIN = ("nnloop", "a password")
BASIC = "Basic " + base64.b64encode(b"nnloop:a password").decode()
Listen = Callable[[], Listener]


def webhooks(client: LabelStudioClient, project: ProjectInfo) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = client._connection.json(
        "GET", "/api/webhooks/", params={"project": project.id}
    )
    return rows


def test_registering_twice_keeps_one_row_and_logs_in(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    listener = listen()
    first = client.register_backend(project.id, listener.url, "nnloop", LOGIN)
    again = client.register_backend(project.id, listener.url + "/", "nnloop", LOGIN)
    assert first.id == again.id
    assert first.is_connected
    assert [b.id for b in client.list_backends(project.id)] == [first.id]
    assert {call[2].get("Authorization") for call in listener.to("/setup")} == {BASIC}
    assert "a password" not in repr(first)


def test_a_moved_backend_keeps_its_row_and_leaves_no_webhook_behind(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    old, new = listen(), listen()
    first = client.register_backend(project.id, old.url, "nnloop", LOGIN)
    moved = client.register_backend(project.id, new.url, "nnloop", LOGIN)
    assert (moved.id, moved.url) == (first.id, new.url)
    client.ensure_webhook(project.id, new.url + "/webhook", {"Authorization": BASIC})
    assert [w["url"] for w in webhooks(client, project)] == [new.url + "/webhook"]


def test_the_webhook_carries_the_login(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    listener = listen()
    url = listener.url + "/webhook"
    client.register_backend(project.id, listener.url, "nnloop", LOGIN)
    (own,) = webhooks(client, project)
    assert own["url"] == url
    assert own["headers"] == {}
    # a person may have added it a second time by hand
    client._connection.json("POST", "/api/webhooks/", body={"project": project.id, "url": url})
    webhook_id = client.ensure_webhook(project.id, url, {"Authorization": BASIC})
    assert client.ensure_webhook(project.id, url, {"Authorization": BASIC}) == webhook_id
    (left,) = webhooks(client, project)
    assert left["id"] == webhook_id == own["id"]
    (task_id,) = client.import_images(project.id, [("a.png", b"x")])
    annotation_id = client.annotate(task_id, [region()])
    call = listener.wait_for(lambda c: c[1] == "/webhook" and b'"ANNOTATION_CREATED"' in c[3])
    assert call[2]["Authorization"] == BASIC
    assert json.loads(call[3])["annotation"]["id"] == annotation_id


def test_a_task_that_is_not_opened_costs_no_prediction(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    listener = listen()
    client.register_backend(project.id, listener.url, "nnloop", LOGIN)
    (task_id,) = client.import_images(project.id, [("a.png", b"x")])
    client.unopened_task(project.id, task_id)
    assert not listener.to("/predict")
    client.task(task_id)
    assert listener.wait_for(lambda call: call[1].startswith("/predict"))


def test_ensure_webhook_makes_one_where_there_is_none(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    listener = listen()
    webhook_id = client.ensure_webhook(project.id, listener.url + "/webhook", {"X-Key": "k"})
    (task_id,) = client.import_images(project.id, [("a.png", b"x")])
    call = listener.wait_for(lambda c: b"TASKS_CREATED" in c[3])
    assert call[2]["X-Key"] == "k"
    assert [w["id"] for w in webhooks(client, project)] == [webhook_id]
    assert client.remove_webhook(project.id, listener.url + "/webhook") == 1
    assert task_id


def test_removing_takes_the_webhook_along(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    listener = listen()
    client.register_backend(project.id, listener.url, "nnloop", LOGIN)
    assert client.remove_backend(project.id, listener.url)
    assert client.list_backends(project.id) == []
    assert webhooks(client, project) == []
    assert not client.remove_backend(project.id, listener.url)


def test_a_backend_that_is_not_there_is_an_error_and_leaves_no_row(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    with pytest.raises(LabelStudioError, match="Can't connect to ML backend"):
        client.register_backend(project.id, f"http://127.0.0.1:{free_port()}", "nnloop", LOGIN)
    assert client.list_backends(project.id) == []
    assert webhooks(client, project) == []

"""What is changed in Label Studio behind nnloop's back, connecting that fails, disconnecting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backend.credentials import service_credentials
from backend.label_studio import LabelStudioClient
from backend.pipeline.basis.context import AppContext
from backend.pipeline.connection.connect import connect
from backend.pipeline.sync.reading import sync_project
from backend.store.models import ProjectRow
from domain.errors import LabelStudioAuthError, LabelStudioError, ProjectGoneError
from tests.integration.identity.conftest import Changing
from tests.integration.loop.discs import LABEL_CONFIG
from tests.integration.loop.stack import Loop


def test_each_change_is_said_and_mended(connected: Callable[[str, int], Changing]) -> None:
    project = connected("Meddled with", 1)
    context, client, api = project.loop.context, project.client, project.api

    def faults() -> set[str]:
        sync_project(context, project.id)
        return set(project.faults())

    assert faults() == set()
    client.update_project(project.id, sampling="Sequential sampling")
    assert faults() == {"sampling"}
    (webhook,) = client.list_webhooks(project.id)
    fields = {"url": webhook.url, "is_active": False}
    api.json("PATCH", f"/api/webhooks/{webhook.id}/", body=fields)
    assert faults() == {"sampling", "webhook"}
    api.json("DELETE", f"/api/webhooks/{webhook.id}/")
    assert faults() == {"sampling", "webhook"}
    (backend,) = client.list_backends(project.id)
    api.json("DELETE", f"/api/ml/{backend.id}")
    assert faults() == {"sampling", "webhook", "backend_missing"}
    assert all(f"nnloop connect {project.id}" in text for text in project.faults().values())
    # Label Studio makes a webhook of its own for a backend, without a login.
    login = service_credentials(context.settings)
    client.register_backend(project.id, backend.url, "nnloop", login)
    assert faults() == {"sampling", "webhook"}
    client.update_project(project.id, label_config="<View/>")
    assert "label_config" in faults()
    client.update_project(project.id, label_config=LABEL_CONFIG)
    connect(context, project.id, {})
    assert faults() == set()


def test_label_studio_says_that_credentials_are_wrong_and_whose_versions_there_are(
    connected: Callable[[str, int], Changing], serving: Callable[[str, int], Changing]
) -> None:
    project, other = connected("Wrong password", 1), serving("With a version", 3)
    client, url = project.client, project.loop.context.settings.service_url
    for login in (("nnloop", "wrong"), None):
        with pytest.raises(LabelStudioError, match="authentication parameters") as caught:
            client.register_backend(project.id, url, "nnloop", login)
        assert "labeling configuration" not in str(caught.value)
    connect(project.loop.context, project.id, {})
    for one, n_versions in ((project, 0), (other, 1)):
        (backend,) = client.list_backends(one.id)
        assert backend.is_connected
        answer = one.api.json("GET", f"/api/ml/{backend.id}/versions")
        assert len(answer["versions"]) == n_versions


def test_a_revoked_key_is_said_and_mended(connected: Callable[[str, int], Changing]) -> None:
    project = connected("Revoked key", 1)
    context = project.loop.context
    revoked = AppContext(context.settings, context.store, context.queue)
    revoked.__dict__["label_studio"] = LabelStudioClient(project.client.url, "0" * 40)
    with pytest.raises(LabelStudioAuthError):
        sync_project(revoked, project.id)
    assert "LABEL_STUDIO_API_KEY" in project.faults()["key_refused"]
    sync_project(context, project.id)
    assert project.faults() == {}


def test_another_project_under_the_id(connected: Callable[[str, int], Changing]) -> None:
    project = connected("Under one id", 2)
    context = project.loop.context
    reference = project.reference
    (context.workspace(project.id).folder / "models").mkdir(parents=True)
    with context.store.begin() as session:
        # As if the one that was connected had been made at another time.
        session.get_one(ProjectRow, project.id).created_at = "2020-01-01T00:00:00.000000Z"
    with pytest.raises(ProjectGoneError, match="its id has gone to another project"):
        sync_project(context, project.id)
    assert set(project.faults()) == {"project_replaced"}
    assert project.ask(*project.project.task_ids, project=reference).status == 404
    said = project.loop.nnloop("connect", str(project.id))
    assert said.status == 0, said.text
    assert "The id belonged to 'Under one id', which Label Studio has no more." in said.text
    assert "disconnected" in said.text
    sync_project(context, project.id)
    assert (project.faults(), project.loop.report(project.project).tasks) == ({}, 2)
    assert not (context.workspace(project.id).folder / "models").exists()


@pytest.mark.parametrize("fails_at", ["reaching the service", "the sampling"])
def test_a_connect_that_fails_leaves_nothing_behind(
    loop: Loop, fails_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = loop.client
    info = client.create_project(f"Fails at {fails_at}", LABEL_CONFIG)
    settings = loop.settings
    if fails_at == "the sampling":

        def refuse(*_arguments: Any) -> int:
            raise LabelStudioError("Label Studio refused.")

        monkeypatch.setattr(loop.context.label_studio, "set_sampling_uncertainty", refuse)
    else:
        settings = settings.model_copy(update={"public_url": "http://127.0.0.1:9"})
    context = AppContext(settings, loop.context.store, loop.context.queue)
    context.__dict__["label_studio"] = loop.context.label_studio
    with pytest.raises(LabelStudioError):
        connect(context, info.id, {})
    assert client.list_backends(info.id) == []
    assert client.list_webhooks(info.id) == []
    now = client.project(info.id)
    assert (now.sampling, now.model_version) == (info.sampling, info.model_version)
    assert _tabs(client, info.id) == []
    with context.store.begin() as session:
        assert session.get(ProjectRow, info.id) is None
    client.delete_project(info.id)


def test_predictions_deleted_by_hand_are_told_of_and_pushed_again(
    serving: Callable[[str, int], Changing],
) -> None:
    project = serving("Deleted predictions", 2)
    context = project.loop.context
    project.api.json(
        "POST",
        "/api/dm/actions",
        params={"id": "delete_tasks_predictions", "project": project.id},
        body={"selectedItems": {"all": True, "excluded": []}},
    )
    assert project.held() == {}
    sync_project(context, project.id)
    assert set(project.faults()) == {"predictions_missing"}
    said = project.loop.nnloop("publish", str(project.id))
    assert (said.status, project.faults()) == (0, {}), said.text
    assert {len(rows) for rows in project.held().values()} == {1}
    sync_project(context, project.id)
    assert project.faults() == {}


def test_disconnecting(serving: Callable[[str, int], Changing]) -> None:
    project = serving("Disconnected", 2)
    client, context = project.client, project.loop.context
    folder = context.workspace(project.id).folder
    assert client.project(project.id).model_version == f"first-{project.id}"
    said = project.loop.nnloop("disconnect", "Disconnected")
    assert said.status == 0, said.text
    assert client.list_backends(project.id) == []
    assert client.list_webhooks(project.id) == []
    assert _tabs(client, project.id) == ["Default"]
    now = client.project(project.id)
    assert (now.model_version, now.sampling) == ("", "Sequential sampling")
    assert {len(rows) for rows in project.held().values()} == {1}  # asked for with --purge only
    assert not folder.exists()
    (aside,) = (context.settings.data_dir / "disconnected").glob(f"{project.id}-*")
    assert str(aside) in said.text
    assert (aside / "models").is_dir()
    again = project.loop.nnloop("disconnect", "Disconnected")
    assert (again.status, "is not connected" in again.text) == (1, True)


def test_disconnecting_with_purge(serving: Callable[[str, int], Changing]) -> None:
    project = serving("Purged", 2)
    (backend,) = project.client.list_backends(project.id)
    project.api.json("DELETE", f"/api/ml/{backend.id}")  # somebody was faster
    said = project.loop.nnloop("disconnect", str(project.id), "--purge")
    assert said.status == 0, said.text
    assert project.held() == {}
    assert project.client.list_webhooks(project.id) == []
    assert not project.loop.context.workspace(project.id).folder.exists()
    assert len(list(project.client.iter_tasks(project.id))) == 2


def _tabs(client: LabelStudioClient, project_id: int) -> list[str]:
    rows = client._connection.json("GET", "/api/dm/views/", params={"project": project_id})
    return [str(row["data"].get("title")) for row in rows if row["project"] == project_id]

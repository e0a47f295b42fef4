"""The stand-in for Label Studio answers nnloop's own client; the loop itself is not run here."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from backend.demo.label_config import LABEL_CONFIG
from backend.label_studio import LabelStudioClient, PushedPrediction
from benchmarks.turnaround.studio import KEY, PROJECT, Studio, StudioServer
from domain.errors import MissingError


@pytest.fixture
def studio() -> Studio:
    return Studio(LABEL_CONFIG, [b"one", b"two", b"three"])


@pytest.fixture
def client(studio: Studio) -> Iterator[LabelStudioClient]:
    server = StudioServer(studio)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with LabelStudioClient(server.url, KEY) as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def test_tasks_images_and_annotations_are_read(studio: Studio, client: LabelStudioClient) -> None:
    studio.annotate(2, [{"id": "a"}])
    tasks = list(client.iter_tasks(PROJECT))
    assert [len(task.annotations) for task in tasks] == [0, 1, 0]
    # What a reading of changes asks for.
    info = client.project(PROJECT)
    assert (info.task_number, info.n_submitted, info.n_skipped) == (3, 1, 0)
    assert client.newest_change(PROJECT) == tasks[1].updated_at
    changed = client.iter_tasks(PROJECT, updated_after=tasks[0].updated_at)
    assert [task.id for task in changed] == [2]
    assert client.count_tasks(PROJECT, 2, 3) == 2
    assert client.fetch_image(tasks[2].data["image"], 3, PROJECT) == b"three"
    with pytest.raises(MissingError):
        client.delete_task(1)  # nothing answers what nnloop does not ask for


def test_a_push_is_timed_once_and_the_lowest_scores_are_labelled_next(
    studio: Studio, client: LabelStudioClient
) -> None:
    rows = [PushedPrediction(i, [], score, "v1") for i, score in ((1, 0.9), (2, 0.2), (3, 0.5))]
    assert client.import_predictions(PROJECT, rows) == 3
    client.import_predictions(PROJECT, rows[:1])  # a doubled one counts once
    assert len(studio.pushed["v1"]) == 3
    assert studio.lowest_scores(2) == []  # no version is shown
    client.set_model_version(PROJECT, "v1")
    assert "v1" in studio.shown
    assert studio.lowest_scores(2) == [2, 3]
    studio.annotate(2, [])
    assert studio.lowest_scores(2) == [3, 1]
    assert client.delete_model_version(PROJECT, "v1") == 4
    assert studio.versions_held() == {}


def test_a_project_is_connected_and_its_webhook_known(
    studio: Studio, client: LabelStudioClient
) -> None:
    client.register_backend(PROJECT, "http://127.0.0.1:9", "nnloop", ("a", "b"))
    client.ensure_webhook(PROJECT, "http://127.0.0.1:9/webhook", {"Authorization": "x"})
    view_id = client.create_queue_tab(PROJECT, "nnloop: annotator", [2, 1])
    tabs = {tab.id: tab for tab in client.list_tabs(PROJECT)}
    assert tabs[view_id].shows("nnloop: annotator", {1, 2})
    assert [user.email for user in client.list_users()] == ["annotator@example.com"]
    assert (client.whoami().id, client.drafted_tasks(PROJECT)) == (1, [])
    assert studio.webhook["headers"] == {"Authorization": "x"}
    assert client.list_backends(PROJECT)[0].is_connected

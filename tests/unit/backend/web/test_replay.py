"""Replays what a real Label Studio sent: golden bodies of our own, and those recorded."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.golden import RECORDED
from tests.unit.backend.web.conftest import Service

GOLDEN = sorted((RECORDED.parent / "label_studio").glob("*.json"))
CALLS = sorted((RECORDED / "calls").glob("*.json"))

# Task ids a webhook's body names, by file.
HINT_TASKS = {
    "webhook_annotation_created": [3],
    "webhook_annotation_skipped": [4],
    "webhook_annotation_updated": [3],
    "webhook_annotations_created": [5, 6],
    "webhook_annotations_deleted": [],  # annotation ids only
    "webhook_tasks_created": [21, 22],
    "webhook_tasks_deleted": [21],
    "webhook_project_updated": [],
    "webhook_start_training": [],
    "webhook_unknown_action": [],
    "webhook_ANNOTATION_CREATED": [2],
    "webhook_ANNOTATION_CREATED_skipped": [4],
    "webhook_ANNOTATION_UPDATED": [2],
    "webhook_ANNOTATIONS_CREATED": [3],
    "webhook_ANNOTATIONS_DELETED": [],
    "webhook_PROJECT_UPDATED": [],
    "webhook_START_TRAINING": [],
    "webhook_TASKS_CREATED": [5],  # imported with an annotation
    "webhook_TASKS_DELETED": [5],
    "webhook_own_header": [1],
}


def replay(service: Service, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    call = json.loads(path.read_text())
    body = call["body"]
    # One was recorded with a webhook of another path, for its own header.
    url = call["path"] if call["path"] != "/myhook" else "/webhook"
    project_id = _project_id(body)
    if project_id is not None:
        service.connect(project_id)
        service.promote(project_id, "nnloop-1")
    if url == "/predict":
        # The labels of recorded interfaces are others than ours: results are empty here.
        service.predict_when_asked(score=0.25)
    headers = {k: v for k, v in call["headers"].items() if k in ("User-Agent", "Content-Type")}
    with caplog.at_level(logging.DEBUG):
        answer = service.client.request(call["method"], url, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    got = answer.json()
    if url == "/predict":
        expected = {"result": [], "score": 0.25, "model_version": "nnloop-1"}
        assert got == {"results": [expected] * len(body["tasks"])}
        assert [ids for _, ids in service.queue.asked] == [
            (project_id, task["id"]) for task in body["tasks"]
        ]
    elif url == "/setup":
        assert got == {"model_version": "nnloop-1"}
    elif url == "/webhook":
        assert got == {"status": "ok"}
        assert service.hints() == [(project_id, body["action"], HINT_TASKS[path.stem])]
    elif url == "/versions":
        assert got == {"versions": []}
    else:
        assert got["status"] == "UP"
    _assert_no_secret(service, caplog, answer.text)


def _project_id(body: Any) -> int | None:
    if not body:
        return None
    project = body["project"]
    return int(project["id"] if isinstance(project, dict) else project.split(".")[0])


def _assert_no_secret(service: Service, caplog: pytest.LogCaptureFixture, answer: str) -> None:
    kept = service.context.settings.data_dir.glob("nnloop.db*")
    texts = [caplog.text, answer, *(path.read_bytes().decode("latin-1") for path in kept)]
    for word in ("secret-", "<legacy-token>", "<project-invite-token>"):
        assert not any(word in text for text in texts)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_body_is_understood(
    service: Service, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replay(service, path, caplog)


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.stem)
def test_recorded_call_is_understood(
    service: Service, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replay(service, path, caplog)


@pytest.mark.parametrize("paths", [GOLDEN, CALLS], ids=["golden", "recorded"])
def test_golden_bodies_cover_every_call(paths: list[Path]) -> None:
    calls = {json.loads(path.read_text())["path"] for path in paths}
    assert calls - {"/myhook"} == {"/health", "/setup", "/predict", "/webhook", "/versions"}

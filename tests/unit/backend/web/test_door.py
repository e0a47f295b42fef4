from __future__ import annotations

import base64
import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

from backend.web.app import ROUTES
from backend.web.door import Door
from tests.unit.backend.web.conftest import PASSWORD, USER, Service


def basic(text: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text).decode()}


def test_every_route_but_health_and_ready_asks_for_credentials(service: Service) -> None:
    app = service.client.app
    assert isinstance(app, FastAPI)
    routes = [route for route in app.routes if isinstance(route, Route)]
    assert len(routes) == len(app.routes) == 2 * len(ROUTES) == 16
    service.log_out()
    for route in routes:
        for method in route.methods or ():
            status = service.client.request(method, route.path).status_code
            assert (status != 401) == (route.path in ("/health", "/ready")), (method, route.path)


def test_head_and_options_answer(service: Service) -> None:
    for path, _, method in ROUTES:
        answer = service.client.options(path)
        assert answer.status_code == 200
        assert method in answer.headers["allow"]
        if method == "GET":
            head = service.client.head(path)
            # No worker runs in these tests.
            assert head.status_code == (503 if path == "/ready" else 200)
            assert head.content == b""
        else:
            assert service.client.head(path).status_code == 405


def test_wrong_credentials_are_said_at_health_already(service: Service) -> None:
    """Label Studio asks there first, and says of a 401 what is true: the credentials are wrong."""
    service.log_out()
    assert service.client.get("/health").status_code == 200
    wrong = service.client.get("/health", auth=(USER, "wrong"))
    assert wrong.status_code == 401
    assert "BASIC_AUTH_USER" in wrong.json()["detail"]
    agent = {"User-Agent": "heartex/1.23.2"}
    assert service.client.get("/health", headers=agent).status_code == 401
    assert service.client.get("/health", auth=(USER, PASSWORD), headers=agent).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health/", "/HEALTH", "//health"])
def test_paths_without_a_route_are_behind_the_door_too(service: Service, path: str) -> None:
    service.log_out()
    assert service.client.get(f"http://testserver{path}").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": f"Bearer {PASSWORD}"},
        {"Authorization": f"Token {PASSWORD}"},
        basic(b""),
        basic(b":"),
        basic(USER.encode()),
        basic(f"{USER}:".encode()),
        basic(f"{USER}:{PASSWORD}x".encode()),
        basic(f"{USER}:{PASSWORD[:-1]}".encode()),
        basic(f"x{USER}:{PASSWORD}".encode()),
        basic(f":{PASSWORD}".encode()),
    ],
)
def test_wrong_credentials_are_refused(
    service: Service, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    service.log_out()
    with caplog.at_level(logging.DEBUG):
        answer = service.client.get("/versions", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert "BASIC_AUTH_USER" in answer.json()["detail"]
    assert PASSWORD[:-1] not in caplog.text + answer.text


def test_refusals_are_logged_once_a_minute(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.log_out()
    for _ in range(3):
        service.client.post("/webhook", json={})
    refused = [r for r in caplog.records if "Refused POST '/webhook'" in r.getMessage()]
    assert len(refused) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_password_beyond_ascii_is_taken_in_both_encodings(encoding: str) -> None:
    app = FastAPI(openapi_url=None)
    app.add_middleware(Door, credentials=("jürgen", "süß"))
    client = TestClient(app)
    assert client.get("/", headers=basic("jürgen:süß".encode(encoding))).status_code == 404
    assert client.get("/", headers=basic("jürgen:suß".encode(encoding))).status_code == 401


def test_websocket_is_closed(service: Service) -> None:
    with pytest.raises(WebSocketDisconnect), service.client.websocket_connect("/health"):
        pass

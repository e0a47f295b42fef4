from __future__ import annotations

import pytest

from tests.unit.backend.web.conftest import XML, Service


def set_up(service: Service, project: object, schema: str = XML) -> dict[str, str]:
    body = {"project": project, "schema": schema, "hostname": "h", "access_token": "secret-token"}
    answer = service.client.post("/setup", json=body)
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()
    return found


@pytest.mark.parametrize("project", ["7.1795238184", "7", 7, 7.1795238184, {"id": 7, "x": 1}])
def test_champion_is_named_for_any_form_of_the_project(service: Service, project: object) -> None:
    service.connect(7)
    service.promote(7, "nnloop-1")
    service.promote(7, "nnloop-2")
    assert set_up(service, project) == {"model_version": "nnloop-2"}


def test_untrained_project(service: Service) -> None:
    service.connect(7)
    assert set_up(service, 7) == {"model_version": "nnloop-untrained"}
    assert service.hints() == []


def test_unknown_project_is_answered_and_said_how_to_connect(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    assert set_up(service, 31) == {"model_version": "nnloop-untrained"}
    assert set_up(service, 31) == {"model_version": "nnloop-untrained"}
    assert caplog.text.count("nnloop connect 31") == 1
    assert "secret-" not in caplog.text


def test_changed_interface_makes_a_hint(service: Service) -> None:
    service.connect(7)
    set_up(service, 7, XML.replace("wall", "plaque"))
    assert service.hints() == [(7, "SETUP", [])]

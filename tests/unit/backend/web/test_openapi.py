from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.pipeline.basis.context import AppContext
from backend.web.app import ROUTES, create_app
from backend.web.openapi import PATH, document
from tests.unit.backend.web.conftest import PASSWORD, SOON_S, USER, Service, region
from tests.unit.packaging.paths import ROOT


@pytest.fixture
def asked_for(context: AppContext) -> Iterator[TestClient]:
    settings = context.settings.model_copy(update={"openapi": True})
    app = create_app(AppContext(settings, context.store, context.queue), run_ticker=False)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            yield from _refs(inner)
    if isinstance(value, list):
        for inner in value:
            yield from _refs(inner)


def test_it_is_served_where_settings_ask_for_it_and_behind_the_door(
    service: Service, asked_for: TestClient
) -> None:
    assert service.client.get(PATH).status_code == 404
    assert asked_for.get(PATH).status_code == 401
    answer = asked_for.get(PATH, auth=(USER, PASSWORD))
    assert answer.status_code == 200 and answer.json() == document()
    for page in ("/docs", "/redoc"):
        assert asked_for.get(page, auth=(USER, PASSWORD)).status_code == 404


def test_every_route_is_in_it_with_its_methods() -> None:
    more = {"GET": {"get", "head", "options"}, "POST": {"post", "options"}}
    paths = {path: set(operations) for path, operations in document()["paths"].items()}
    assert paths == {path: more[method] for path, _, method in ROUTES}


def test_what_it_names_is_there_and_its_statuses_are_those_of_the_page() -> None:
    found = document()
    names = {ref.removeprefix("#/components/schemas/") for ref in _refs(found)}
    assert names <= found["components"]["schemas"].keys() and len(names) > 8
    operations = [one for path in found["paths"].values() for one in path.values()]
    statuses = {int(status) for one in operations for status in one["responses"]}
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    said = {int(status) for status in re.findall(r"(?m)^\| (\d{3}) \|", page)}
    assert statuses - {200} == said - {500}


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_its_examples_are_answered_as_it_says(service: Service) -> None:
    service.connect(1)
    service.promote(1, "nnloop-v1")
    service.predict(1, 1, result=[region()], score=0.5)
    for path, operations in document()["paths"].items():
        if "post" in operations:
            body = operations["post"]["requestBody"]["content"]["application/json"]["example"]
            answer = service.client.post(path, json=body)
            assert answer.status_code in (200, 503), answer.text


@pytest.mark.parametrize("project", [2e-42, 2.5e16, 0.5, float("1e300")])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_number_that_is_no_id_is_no_project(
    service: Service, project: float, wrapped: bool
) -> None:
    """Of 2e-42 the first digit was taken for the id."""
    body = {"project": {"id": project} if wrapped else project, "schema": ""}
    assert service.client.post("/setup", json=body).status_code == 422
    body["project"] = {"id": 2.0} if wrapped else 2.1795238184
    assert service.client.post("/setup", json=body).status_code == 200

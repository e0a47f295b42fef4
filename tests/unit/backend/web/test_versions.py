from __future__ import annotations

import pytest

from backend.credentials import login_of_project
from backend.store.training import versions
from tests.unit.backend.web.conftest import PASSWORD, USER, Service


@pytest.fixture
def trained(service: Service) -> Service:
    service.connect(7)
    for name in ("v1", "v2", "v3"):
        service.promote(7, name)
    with service.store.begin() as session:  # rolled back to the second
        versions.promote(session, versions.versions_of(session, 7)[1])
    service.connect(8)
    service.promote(8, "v1")
    service.promote(8, "w2")
    return service


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?project=7", ["v2", "v3", "v1"]),
        ("?project=7.1795238184", ["v2", "v3", "v1"]),
        ("?project=8", ["w2", "v1"]),
        ("", ["v2", "v3", "v1", "w2"]),
    ],
)
def test_champion_first_then_newest(trained: Service, query: str, names: list[str]) -> None:
    assert trained.client.get(f"/versions{query}").json() == {"versions": names}


def test_the_backend_of_a_project_gets_its_own(trained: Service) -> None:
    """Label Studio names no project: the login that `nnloop connect` gave it does."""
    user, password = login_of_project((USER, PASSWORD), 8)
    answer = trained.client.get("/versions", auth=(user, password))
    assert answer.json() == {"versions": ["w2", "v1"]}
    asked = trained.client.get("/versions?project=7", auth=(user, password))
    assert asked.json() == {"versions": ["v2", "v3", "v1"]}
    assert trained.client.get("/versions", auth=(user, "x")).status_code == 401
    gone = trained.client.get("/versions", auth=login_of_project((USER, PASSWORD), 9))
    assert gone.status_code == 404


def test_without_versions(service: Service) -> None:
    service.connect(7)
    assert service.client.get("/versions?project=7").json() == {"versions": []}


@pytest.mark.parametrize(("query", "status"), [("9", 404), ("x", 422), ("-1", 422)])
def test_unknown_project(service: Service, query: str, status: int) -> None:
    answer = service.client.get(f"/versions?project={query}")
    assert answer.status_code == status
    assert "roject" in answer.json()["detail"]

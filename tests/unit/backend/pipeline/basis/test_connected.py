from __future__ import annotations

import pytest

from backend.pipeline.basis.connected import find_connected
from backend.store.models import ProjectRow
from domain.errors import NotConnectedError, SettingsError
from tests.fakes.app import PROJECT, FakeApp


def test_projects_are_found_by_id_and_title(app: FakeApp) -> None:
    assert find_connected(app.context, "1") == PROJECT
    assert find_connected(app.context, "Carotid") == PROJECT
    for unknown in ("2", "Veins"):
        with pytest.raises(NotConnectedError, match=unknown):
            find_connected(app.context, unknown)


def test_a_project_whose_title_is_a_number_is_found(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.add(ProjectRow(id=40, title="2024"))
    assert find_connected(app.context, "2024") == 40


def test_of_projects_with_one_title_the_id_is_asked_for(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.add(ProjectRow(id=7, title="Carotid"))
    with pytest.raises(SettingsError, match="2 connected projects are called 'Carotid'") as caught:
        find_connected(app.context, "Carotid")
    assert caught.value.remedy.endswith("1, 7.")
    assert find_connected(app.context, "7") == 7

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend.store.models import PredictionRow, ProjectRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from domain.states import VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.clocks import Clocks


def test_promote_retires_the_old_champion(app: FakeApp) -> None:
    first, second = app.add_version(1), app.add_version(2)
    with app.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None and champion.id == second
        states = {row.id: row.status for row in session.scalars(select(VersionRow))}
        assert states == {first: VersionStatus.RETIRED, second: VersionStatus.CHAMPION}
        assert session.get_one(ProjectRow, PROJECT).champion_id == second
        assert champion.promoted_at is not None
        # Twice is as good as once.
        versions.promote(session, champion)
        assert champion.status == VersionStatus.CHAMPION
        assert versions.champion(session, 99) is None
        assert [version.id for version in versions.versions_of(session, PROJECT)] == [first, second]
        assert champion.run_id is not None
        assert versions.version_of_run(session, champion.run_id) is champion


def test_a_clock_that_was_set_back_changes_no_order(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    ids = [app.add_version(number) for number in (1, 2)]
    clocks.set_wall(-3600.0)
    ids += [app.add_version(number) for number in (3, 4)]
    with app.store.begin() as session:
        found = versions.predecessor(session, PROJECT)
        assert found is not None and found.id == ids[2]
        last = versions.former(session, PROJECT, ids[3])
        assert last is not None and last.id == ids[2]


def test_the_predecessor_is_the_one_that_served_last_and_still_can(app: FakeApp) -> None:
    with app.store.begin() as session:
        assert versions.predecessor(session, PROJECT) is None
    ids = [app.add_version(number) for number in (1, 2, 3, 4)]
    with app.store.begin() as session:
        rows = [session.get_one(VersionRow, i) for i in ids]
        assert versions.predecessor(session, PROJECT) is rows[2]
        rows[2].status = VersionStatus.REJECTED
        assert versions.predecessor(session, PROJECT) is rows[1]
        rows[1].pruned_at = 1.0
        assert versions.predecessor(session, PROJECT) is rows[0]
        versions.promote(session, rows[1])
        assert versions.predecessor(session, PROJECT) is rows[3]


def test_back_in_service_its_predictions_count_as_not_pushed(app: FakeApp) -> None:
    first, second = app.add_version(1), app.add_version(2)
    with app.store.begin() as session:
        for version in (first, second):
            row = PredictionRow(project_id=PROJECT, task_id=1, version_id=version, published_at=1.0)
            session.add(row)
        session.flush()
        versions.promote(session, session.get_one(VersionRow, first))
        assert predictions.counts(session, first) == (1, 0, 0)
        assert predictions.counts(session, second) == (1, 1, 0)
        assert session.get_one(VersionRow, first).published_at is None


def test_names_are_unique_in_a_project_only(app: FakeApp) -> None:
    app.add_version(1)
    with app.store.begin() as session:
        session.add(VersionRow(project_id=2, name="nnloop-v1", path="/v"))
        session.flush()
        assert [row.project_id for row in versions.by_name(session, "nnloop-v1")] == [1, 2]
        assert len(versions.by_name(session, "nnloop-v1", 2)) == 1
        assert versions.by_name(session, "nnloop-v2") == []


def test_the_former_version_is_the_one_that_served_last_whatever_became_of_it(
    app: FakeApp,
) -> None:
    ids = [app.add_version(number) for number in (1, 2, 3)]
    with app.store.begin() as session:
        rows = [session.get_one(VersionRow, i) for i in ids]
        assert versions.former(session, PROJECT, ids[2]) is rows[1]
        # A rollback: what Label Studio holds is the rejected one's.
        versions.promote(session, rows[0], old_becomes=VersionStatus.REJECTED)
        assert versions.former(session, PROJECT, ids[0]) is rows[2]
        session.add(VersionRow(project_id=PROJECT, name="refused", path="/refused"))
        session.flush()
        assert versions.former(session, PROJECT, ids[0]) is rows[2]
        assert versions.former(session, 99, ids[0]) is None

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select, update

from backend.pipeline.runs import upkeep
from backend.pipeline.runs.upkeep import Kind
from backend.store import hints, projects
from backend.store.models import InboxRow, ProblemRow, ProjectRow
from tests.fakes.app import PROJECT, FakeApp

LONG_AGO_S = hints.KEPT_S + 60


def _add(app: FakeApp, n: int, project_id: int = PROJECT, decision: str = "read") -> None:
    with app.store.begin() as session:
        for _ in range(n):
            projects.add_hint(session, project_id, "X", [], decision=decision)


def _ids(app: FakeApp, project_id: int) -> list[int]:
    with app.store.begin() as session:
        query = select(InboxRow.id).where(InboxRow.project_id == project_id)
        return list(session.scalars(query.order_by(InboxRow.id)))


def test_what_is_old_goes_and_what_is_open_stays(app: FakeApp) -> None:
    _add(app, 2)
    _add(app, 1, decision="")
    with app.store.begin() as session:
        session.execute(update(InboxRow).values(received_at=time.time() - LONG_AGO_S))
        handled_at = time.time() - LONG_AGO_S
        session.execute(update(InboxRow).where(InboxRow.id == 1).values(handled_at=handled_at))
        for message in ("Old.", "New.", "Open."):
            fault = projects.Fault("a", message)
            projects.report_problem(session, PROJECT, "run", fault)
        session.execute(
            update(ProblemRow)
            .where(ProblemRow.message == "Old.")
            .values(resolved_at=time.time() - LONG_AGO_S)
        )
        session.execute(
            update(ProblemRow).where(ProblemRow.message == "New.").values(resolved_at=time.time())
        )
    assert upkeep.forget_old(app.context, time.time()) == 2
    assert _ids(app, PROJECT) == [2, 3]
    with app.store.begin() as session:
        assert sorted(row.message for row in session.query(ProblemRow)) == ["New.", "Open."]
    assert upkeep.forget_old(app.context, time.time()) == 0


def test_too_many_go_a_portion_at_a_time(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", 4)
    monkeypatch.setattr(upkeep, "KINDS", (Kind(hints.find_old, hints.forget, 2),))
    monkeypatch.setattr(hints, "KEPT", 3)
    monkeypatch.setattr(hints, "KEPT_OF_ALL_UNCONNECTED", 2)
    with app.store.begin() as session:
        session.add(ProjectRow(id=2))
    _add(app, 1, decision="")  # open, so it stays
    _add(app, 13)
    _add(app, 3, project_id=2)
    _add(app, 1, project_id=8)
    _add(app, 3, project_id=9)
    now = time.time()
    assert [upkeep.forget_old(app.context, now) for _ in range(4)] == [4 + 2, 4, 2, 0]
    assert _ids(app, PROJECT) == [1, 12, 13, 14]
    assert len(_ids(app, 2)) == 3
    assert (len(_ids(app, 8)), len(_ids(app, 9))) == (0, 2)


def test_it_is_looked_at_once_an_hour_and_until_nothing_is_left(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, left, looked = [1_000.0], [2], [0]

    def find(*_: object) -> list[int]:
        looked[0] += 1
        left[0] -= left[0] > 0
        return [7] * left[0]

    monkeypatch.setattr(upkeep, "KINDS", (Kind(find, hints.forget),))
    keep_up = upkeep.upkeep(lambda: moment[0])
    for _ in range(10):
        keep_up(app.context)
    assert looked == [2]  # the second found nothing more
    moment[0] += upkeep.EVERY_S
    keep_up(app.context)
    assert looked == [3]
    moment[0] -= 10 * upkeep.EVERY_S  # somebody sets the clock right
    keep_up(app.context)
    keep_up(app.context)
    assert looked == [4]


def test_a_project_that_is_not_connected_keeps_its_newest(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "KEPT_UNCONNECTED", 3)
    _add(app, 5, project_id=9)
    _add(app, 2, project_id=8)
    with app.store.begin() as session:
        hints.forget_unconnected(session, [8, 9, 10])
        assert session.scalar(select(func.count(InboxRow.id))) == 5
    assert _ids(app, 9) == [3, 4, 5]

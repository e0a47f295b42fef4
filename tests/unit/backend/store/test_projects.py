from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select, update

from backend.store import projects
from backend.store.models import InboxRow, ProblemRow, ProjectRow
from domain.errors import NotConnectedError
from tests.fakes.app import PROJECT, FakeApp


def test_hints_open_and_closed(app: FakeApp) -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, "ANNOTATION_CREATED", [1])
        projects.add_hint(session, PROJECT, "TASKS_CREATED", [])
        projects.add_hint(session, 99, "TASKS_CREATED", [])  # never connected
    with app.store.begin() as session:
        session.execute(update(InboxRow).where(InboxRow.id == 1).values(received_at=5.0))
        session.execute(update(InboxRow).where(InboxRow.id == 2).values(received_at=7.0))
        assert projects.open_hints(session) == [(PROJECT, 7.0)]
        assert projects.newest_hint_id(session, PROJECT) == 2
        projects.close_hints(session, PROJECT, 1)
        assert projects.open_hints(session) == [(PROJECT, 7.0)]
        projects.close_hints(session, PROJECT, 2)
        assert projects.open_hints(session) == []
        assert projects.newest_hint_id(session, PROJECT) == 0


def test_closing_leaves_other_projects_alone(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.add(ProjectRow(id=2))
        projects.add_hint(session, 2, "X", [])
        projects.add_hint(session, PROJECT, "X", [])
        session.flush()
        projects.close_hints(session, PROJECT, 2)
        assert [project_id for project_id, _ in projects.open_hints(session)] == [2]


def test_a_request_is_open_until_its_hint_is_closed(app: FakeApp) -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, "ANNOTATION_CREATED", [])
        assert projects.training_request(session, PROJECT) is None
        projects.add_hint(session, PROJECT, projects.START_TRAINING, [])
        assert projects.training_request(session, PROJECT) == {}
        projects.close_hints(session, PROJECT, projects.newest_hint_id(session, PROJECT))
        assert projects.training_request(session, PROJECT) is None


def test_an_unknown_project_is_an_error_with_a_remedy(app: FakeApp) -> None:
    with app.store.begin() as session, pytest.raises(NotConnectedError, match="'7'") as caught:
        projects.get(session, 7)
    assert caught.value.remedy == "Connect it: nnloop connect 7"


def test_a_problem_is_not_repeated_until_it_is_resolved(app: FakeApp) -> None:
    def report(message: str = "m", task_id: int | None = 3) -> int:
        with app.store.begin() as session:
            projects.report_problem(
                session,
                PROJECT,
                "score",
                projects.Fault("task", message),
                task_id=task_id,
            )
            session.flush()
            return session.scalar(select(func.count(ProblemRow.id))) or 0

    assert [report(), report()] == [1, 1]
    assert report(task_id=4) == 2
    assert report(task_id=None) == 3
    assert report(task_id=None) == 3
    assert report("other") == 4
    with app.store.begin() as session:
        projects.resolve_problems(session, PROJECT, "score", task_id=3)
        left = [row.task_id for row in projects.open_problems(session, PROJECT)]
    assert left == [None, 4]
    assert report() == 5


def test_problems_are_resolved_by_stage_and_reason(app: FakeApp) -> None:
    with app.store.begin() as session:
        for stage, reason in [("publish", "dropped"), ("publish", "down"), ("run", "down")]:
            projects.report_problem(
                session,
                PROJECT,
                stage,
                projects.Fault(reason, "m" + stage + reason),
            )
        projects.resolve_problems(session, PROJECT, "publish", reason="down")
        left = {(row.stage, row.reason) for row in projects.open_problems(session, PROJECT)}
    assert left == {("publish", "dropped"), ("run", "down")}


def test_a_long_action_fits(app: FakeApp) -> None:
    with app.store.begin() as session:
        projects.add_hint(session, PROJECT, "A" * 500, [])
        session.flush()
        row = session.scalars(select(InboxRow)).one()
        assert len(row.action) == 64
        assert abs(row.received_at - time.time()) < 60

"""Tabs, people and Label Studio change while queues are filled."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import insert

from backend.label_studio import User
from backend.pipeline.queues import draw
from backend.pipeline.queues.arms import draws_of
from backend.pipeline.queues.fill import fill_queues, try_fill
from backend.pipeline.queues.report import tab_reports
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks import elsewhere, queues
from backend.store.tasks.elsewhere import ElsewhereRow
from backend.store.tasks.queues import QueueEntryRow
from domain.errors import LabelStudioError
from domain.queues import QueueArm, QueueExit
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.clocks import Clocks
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.queues.filled import (
    ANNA,
    BEN,
    add_tasks,
    entries,
    fill,
    label,
    now,
    of,
    serve,
)


def test_a_tab_that_somebody_deleted_or_changed_is_made_right(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    studio = lab.label_studio
    anna, ben = of(lab, "Anna"), of(lab, "Ben")
    ids = {data["title"]: number for number, data in studio.tabs.items()}
    del studio.tabs[ids["nnloop: Anna"]]
    studio.tabs[ids["nnloop: Ben"]] = {
        "title": "Mine",
        "ordering": ["-tasks:id"],
        "columnsWidth": {"tasks:id": 80},
    }
    assert fill(lab) == ["create_queue_tab", "update_queue_tab"]
    assert (of(lab, "Anna"), of(lab, "Ben")) == (anna, ben)
    assert studio.tabs[ids["nnloop: Ben"]]["columnsWidth"] == {"tasks:id": 80}
    assert fill(lab) == []


def test_somebody_new_is_noticed_and_who_left_makes_room(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    clara = User(9, "clara@example.com")
    lab.label_studio.users.append(clara)
    assert fill(lab) == ["create_queue_tab"]
    assert len(of(lab, "clara")) == 2  # enough to begin with
    for task_id in of(lab, "clara"):
        label(lab, task_id, clara)
    fill(lab)
    assert len(of(lab, "clara")) == 20
    lab.label_studio.users.remove(BEN)
    control = {e.task_id for e in entries(lab, annotator_id=BEN.id, arm=QueueArm.CONTROL)}
    assert "delete_tab" in fill(lab)
    assert "nnloop: Ben" not in lab.label_studio.titles()
    assert control <= {*of(lab, "Anna"), *of(lab, "clara")}
    assert not entries(lab, annotator_id=BEN.id, left_at=None)


def test_who_does_not_begin_keeps_little_of_a_first_queue(app: FakeApp) -> None:
    app.label_studio.users = [User(1, "admin@example.com"), ANNA, BEN]
    add_tasks(app, range(1, 61))
    sync_project(app.context, PROJECT)
    fill(app)
    assert (len(of(app, "Anna")), len(of(app, "Ben"))) == (20, 20)
    label(app, of(app, "Anna")[0])
    fill(app)
    assert len(of(app, "Ben")) == 20  # he may just have opened it
    with app.store.begin() as session:
        for entry in session.query(QueueEntryRow):
            entry.drawn_at -= draw.LEND_AFTER_S
    fill(app)
    assert (len(of(app, "Anna")), len(of(app, "Ben"))) == (19, 2)
    assert fill(app) == []


def test_of_many_people_only_those_who_label_have_tabs(lab: FakeApp) -> None:
    others = [User(10 + n, f"p{n}@example.com") for n in range(30)]
    lab.label_studio.users += others
    fill(lab)
    assert lab.label_studio.titles() == ["Default", "nnloop: Anna", "nnloop: Ben"]
    label(lab, 100, others[4])
    fill(lab)
    assert lab.label_studio.titles()[-1] == "nnloop: p4"
    lab.change_settings(annotators=("ben@example.com", "P7", "Nobody"))
    fill(lab)
    assert set(lab.label_studio.titles()) == {"Default", "nnloop: Ben", "nnloop: p7"}
    with lab.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert problem.reason == "annotator_unknown" and "'Nobody'" in problem.message
    lab.change_settings(annotators=("Ben",))
    fill(lab)
    with lab.store.begin() as session:
        assert projects.open_problems(session, PROJECT) == []


def test_who_has_begun_a_task_elsewhere_keeps_it(lab: FakeApp) -> None:
    serve(lab, 1)
    lab.label_studio.drafts = {90: {BEN.id}, 1: {1}, 2: {1}}
    fill(lab)
    assert 90 in of(lab, "Ben")
    # The admin, who has no queue, has begun two.
    assert not {1, 2} & {*of(lab, "Anna"), *of(lab, "Ben")}
    lab.label_studio.drafts = {}
    assert fill(lab) == []


def test_away_is_a_problem_that_goes_when_label_studio_is_back(lab: FakeApp) -> None:
    serve(lab, 1)
    lab.label_studio.is_down = True
    try_fill(lab.context, PROJECT)
    try_fill(lab.context, PROJECT)
    with lab.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
    assert problem.stage == "queues" and "can't be reached" in problem.message
    with pytest.raises(LabelStudioError):
        fill_queues(lab.context, PROJECT)
    lab.label_studio.is_down = False
    try_fill(lab.context, PROJECT)
    assert len(of(lab, "Anna")) == 20
    with lab.store.begin() as session:
        assert projects.open_problems(session, PROJECT) == []


def test_what_was_drawn_while_the_tabs_could_not_be_written_is_not_drawn_again(
    lab: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(lab, 1)

    def refuse(*_: object) -> int:
        raise LabelStudioError("Label Studio refused.")

    with monkeypatch.context() as patch:
        patch.setattr(lab.label_studio, "create_queue_tab", refuse)
        try_fill(lab.context, PROJECT)
    drawn = [e.task_id for e in entries(lab)]
    assert len(drawn) >= 40
    fill(lab)
    assert [e.task_id for e in entries(lab)] == drawn


def test_two_at_once_draw_no_task_twice(lab: FakeApp) -> None:
    serve(lab, 1)
    both = [
        threading.Thread(target=fill_queues, args=(lab.context, PROJECT), name=str(n))
        for n in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    held = [(e.task_id, e.annotator_id) for e in entries(lab, left_at=None)]
    assert len({task_id for task_id, _ in held}) == len(set(held)) == 40


@pytest.mark.parametrize("n_tasks", [0, 1])
def test_one_task_and_three_people(app: FakeApp, n_tasks: int) -> None:
    studio = app.label_studio
    studio.users = [ANNA, BEN, User(4, "c@example.com")]
    add_tasks(app, range(1, 4 + n_tasks))
    for person, task_id in zip(studio.users, (1, 2, 3), strict=True):
        studio.label(task_id, polygon(), by=person.id, at=now())
    sync_project(app.context, PROJECT)
    fill(app)
    held = [of(app, name) for name in ("Anna", "Ben", "c")]
    assert sorted(map(len, held)) == [0, 0, n_tasks]
    assert fill(app) == []
    if n_tasks:
        # Its owner has gone home; the others have not.
        (owner,) = {e.annotator_id for e in entries(app)}
        with app.store.begin() as session:
            entry = session.query(QueueEntryRow).one()
            assert entry.annotator_id == owner


def test_the_last_tasks_go_to_who_is_there(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = app.label_studio
    studio.users = [User(1, "admin@example.com"), ANNA, BEN]
    add_tasks(app, range(1, 13))
    for person, task_id in ((ANNA, 1), (BEN, 2)):
        studio.label(task_id, polygon(), by=person.id, at=now())
    sync_project(app.context, PROJECT)
    fill(app)
    assert (len(of(app, "Anna")), len(of(app, "Ben"))) == (5, 5)
    for task_id in of(app, "Anna"):
        label(app, task_id)
    fill(app)
    assert (len(of(app, "Anna")), len(of(app, "Ben"))) == (0, 5)
    # Ben does nothing ...
    monkeypatch.setattr(draw.People, "idle", lambda self: {BEN.id})
    fill(app)
    # ... but keeps the two that may be open.
    assert (len(of(app, "Anna")), len(of(app, "Ben"))) == (3, 2)


def test_a_project_that_is_gone_is_left_alone(lab: FakeApp) -> None:
    fault = projects.Fault(projects.GONE, "gone")
    with lab.store.begin() as session:
        projects.set_faults(session, PROJECT, projects.CONNECTION, [fault])
    assert fill(lab) == []
    assert lab.label_studio.calls == []


def test_a_reused_id_is_another_task(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    task_id = of(lab, "Anna")[5]
    studio = lab.label_studio
    del studio.tasks[task_id]
    studio.now = "2026-02-02T00:00:00.000000Z"
    studio.add_task(task_id)
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert {e.exit for e in entries(lab, task_id=task_id) if e.left_at} == {QueueExit.GONE}


def test_the_report_says_how_far_each_is(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    label(lab, of(lab, "Anna")[0])
    fill(lab)
    anna, ben = tab_reports(lab.context, PROJECT)
    assert (anna.name, anna.left, anna.length, anna.strategy) == ("Anna", 19, 20, "lowest_score")
    assert (ben.left, ben.length) == (20, 20)
    assert anna.url.endswith(f"/projects/{PROJECT}/data?tab=2")


def test_only_batches_that_are_done_count_for_the_estimates(lab: FakeApp) -> None:
    serve(lab, 1)
    lab.change_settings(queue_length=4)
    fill(lab)
    with lab.store.begin() as session:
        found = draws_of(session, PROJECT)
        assert not any(draw_.is_over for draw_ in found)
        assert sum(draw_.is_control for draw_ in found) == 4
    for task_id in of(lab, "Anna"):
        label(lab, task_id)
    fill(lab)
    with lab.store.begin() as session:
        found = draws_of(session, PROJECT)
        over = {draw_.batch for draw_ in found if draw_.is_over}
        assert len(over) >= 1
        assert draws_of(session, PROJECT, "core_set") == []


@pytest.mark.slow
def test_fifty_thousand_tasks(app: FakeApp) -> None:
    """Filled within seconds, and nothing is read of the pool while nothing is due."""
    studio = app.label_studio
    studio.users = [User(1, "admin@example.com"), ANNA, BEN]
    app.change_settings(query_strategy="lowest_score")
    version = app.add_version(1, published_at=time.time())
    with app.store.begin() as session:
        ids = range(1, 50_001)
        tasks = [{"id": i, "project_id": PROJECT, "source": f"s{i}"} for i in ids]
        session.execute(insert(TaskRow), tasks)
        predictions = [
            {
                "project_id": PROJECT,
                "task_id": i,
                "version_id": version,
                "score": (i * 7919 % 50_000) / 50_000,
                "source": f"s{i}",
            }
            for i in ids
        ]
        session.execute(insert(PredictionRow), predictions)
    fill(app)
    with app.store.begin() as session:
        assert len(queues.open_entries(session, PROJECT)) >= 40
    chosen = [e.task_id for e in entries(app, arm=QueueArm.STRATEGY)]
    assert max(i * 7919 % 50_000 for i in chosen) < 60


def test_a_namesake_of_who_leaves_gets_a_tab_of_their_own(lab: FakeApp) -> None:
    """Theirs was taken over, and deleted with who left."""
    serve(lab, 1)
    lab.change_settings(annotators=(ANNA.email,))
    fill(lab)
    lab.label_studio.users.append(User(9, "anna.new@example.com", "Anna", "Dorn"))
    lab.change_settings(annotators=("anna.new@example.com",))
    fill(lab)
    assert lab.label_studio.titles() == ["Default", "nnloop: Anna"]
    assert fill(lab) == []


def test_scores_of_another_program_are_drawn_by_once_although_the_clock_is_set_back(
    lab: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    fill(lab)
    clocks.pass_s(60.0)
    with lab.store.begin() as session:
        for task in session.query(TaskRow).filter_by(project_id=PROJECT):
            session.add(
                ElsewhereRow(
                    project_id=PROJECT,
                    task_id=task.id,
                    source=task.source,
                    model_version="theirs",
                    score=1 - task.id / 200,
                    is_stated=True,
                )
            )
    clocks.set_wall(-3600.0)
    assert fill(lab) != []  # by their scores
    before = of(lab, "Anna")
    clocks.pass_s(60.0)
    assert fill(lab) == [] and of(lab, "Anna") == before
    with lab.store.begin() as session:
        scored_at = elsewhere.scored_at(session, PROJECT)
    still = entries(lab, arm=QueueArm.STRATEGY, left_at=None)
    assert still and all(row.drawn_at >= scored_at for row in still)

"""Queues follow people, tasks, versions and what anybody does to the tabs."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import insert

from backend.label_studio import PushedPrediction, User
from backend.pipeline.queues import draw
from backend.pipeline.queues.arms import draws_of
from backend.pipeline.queues.fill import fill_queues, try_fill
from backend.pipeline.queues.report import tab_reports
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks import embeddings, queues
from backend.store.tasks.queues import QueueEntryRow
from domain.errors import LabelStudioError
from domain.queues import QueueArm, QueueExit
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon

ANNA, BEN = User(2, "anna@example.com", "Anna", "Bell"), User(3, "ben@example.com", "Ben", "Cole")
READS = {"list_users", "whoami", "drafted_tasks", "list_tabs", "draft_owners"}


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture
def lab(app: FakeApp) -> FakeApp:
    """Anna and Ben have labelled a task each of 102."""
    studio = app.label_studio
    studio.users = [User(1, "admin@example.com"), ANNA, BEN]
    add_tasks(app, range(1, 103))
    studio.label(101, polygon(), by=ANNA.id, at=now())
    studio.label(102, polygon(), by=BEN.id, at=now())
    sync_project(app.context, PROJECT)
    return app


def add_tasks(app: FakeApp, ids: range) -> None:
    for task_id in ids:
        app.label_studio.add_task(task_id)


def serve(app: FakeApp, number: int, score: float = 0.0, step: float = 0.005) -> int:
    """A version comes that has predicted all: task i has score + i * step."""
    version = app.add_version(number, published_at=time.time())
    studio = app.label_studio
    with app.store.begin() as session:
        for task in session.query(TaskRow).filter_by(project_id=PROJECT):
            value = score + step * task.id
            session.add(
                PredictionRow(
                    project_id=PROJECT,
                    task_id=task.id,
                    version_id=version,
                    score=value,
                    source=task.source,
                )
            )
            studio.predictions.append(
                PushedPrediction(task.id, [], value, f"nnloop-v{number}", task.id)
            )
    studio.set_model_version(PROJECT, f"nnloop-v{number}")
    return version


def fill(app: FakeApp) -> list[str]:
    """What is sent to Label Studio."""
    app.label_studio.calls.clear()
    fill_queues(app.context, PROJECT)
    return [name for name in app.label_studio.calls if name not in READS]


def entries(app: FakeApp, **filters: object) -> list[QueueEntryRow]:
    with app.store.begin() as session:
        return list(session.query(QueueEntryRow).filter_by(**filters).order_by(QueueEntryRow.id))


def label(app: FakeApp, task_id: int, by: User = ANNA, *, skip: bool = False) -> None:
    app.label_studio.label(task_id, polygon(), by=by.id, at=now(), was_cancelled=skip)
    sync_project(app.context, PROJECT)


def of(app: FakeApp, name: str) -> tuple[int, ...]:
    return app.label_studio.tab_of(f"nnloop: {name}")


def test_two_people_have_tabs_that_share_nothing_lowest_score_first(lab: FakeApp) -> None:
    serve(lab, 1)
    assert fill(lab) == ["create_queue_tab", "create_queue_tab"]
    anna, ben = of(lab, "Anna"), of(lab, "Ben")
    assert (len(anna), len(ben), set(anna) & set(ben)) == (20, 20, set())
    assert list(anna) == sorted(anna) and list(ben) == sorted(ben)
    chosen = {e.task_id for e in entries(lab, arm=QueueArm.STRATEGY)}
    control = entries(lab, arm=QueueArm.CONTROL)
    assert len(control) == 4 and {e.strategy for e in control} == {"random"}
    assert chosen <= set(range(1, 41)) and len(chosen) == 36
    assert {e.strategy for e in entries(lab, arm=QueueArm.STRATEGY)} == {"lowest_score"}
    assert lab.label_studio.titles() == ["Default", "nnloop: Anna", "nnloop: Ben"]
    # The account that nnloop uses is nobody's.
    assert [tab.name for tab in tab_reports(lab.context, PROJECT)] == ["Anna", "Ben"]


def test_a_negative_seed_is_a_seed(lab: FakeApp) -> None:
    lab.change_settings(seed=-7)
    fill(lab)
    assert (len(of(lab, "Anna")), len(of(lab, "Ben"))) == (20, 20)


def test_nothing_is_sent_or_written_when_nothing_changed(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    before = [(e.id, e.left_at, e.version_id) for e in entries(lab)]
    assert fill(lab) == fill(lab) == []
    assert [(e.id, e.left_at, e.version_id) for e in entries(lab)] == before


def test_what_is_labelled_skipped_or_gone_leaves_and_says_how(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    first, second, third, fourth = of(lab, "Anna")[:4]
    label(lab, first)
    label(lab, second, BEN, skip=True)
    del lab.label_studio.tasks[third]
    lab.label_studio.images[f"/data/upload/{fourth}b.png"] = b""
    lab.label_studio.tasks[fourth].data["image"] = f"/data/upload/{fourth}b.png"
    sync_project(lab.context, PROJECT)
    assert fill(lab) == ["update_queue_tab"]
    left = {e.task_id: e.exit for e in entries(lab) if e.left_at is not None}
    assert {left[first], left[second], left[third], left[fourth]} == {
        QueueExit.LABELLED,
        QueueExit.SKIPPED,
        QueueExit.GONE,
    }
    assert left[third] == left[fourth] == QueueExit.GONE
    assert len(of(lab, "Anna")) == 16


def test_a_finished_batch_is_followed_by_the_next(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    batch, bens = of(lab, "Anna"), of(lab, "Ben")
    for task_id in batch[:-1]:
        lab.label_studio.label(task_id, polygon(), by=ANNA.id, at=now())
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert of(lab, "Anna") == batch[-1:]  # a batch is a set to be finished
    label(lab, batch[-1])
    fill(lab)
    assert len(of(lab, "Anna")) == 20
    assert not set(of(lab, "Anna")) & {*batch, *bens}
    assert of(lab, "Ben") == bens


def test_a_new_version_replaces_what_nobody_has_begun(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    before = {name: of(lab, name) for name in ("Anna", "Ben")}
    control = {e.task_id for e in entries(lab, arm=QueueArm.CONTROL)}
    drafted = before["Ben"][9]
    lab.label_studio.drafts = {drafted: {BEN.id}}
    serve(lab, 2, score=0.9, step=-0.005)  # the other way round
    fill(lab)
    for name in ("Anna", "Ben"):
        now_, head = set(of(lab, name)), set(before[name][:2])
        assert len(now_) == 20
        assert head <= now_ and control & set(before[name]) <= now_
        new = now_ - head - control - {drafted}
        # And the two that the new order serves first.
        assert sum(task_id <= 50 for task_id in new) <= 2
    assert drafted in of(lab, "Ben")
    assert fill(lab) == []
    # What left Anna's tab may still be open at hers.
    gone = {e.task_id: e.annotator_id for e in entries(lab, exit=QueueExit.WITHDRAWN)}
    open_ = {e.task_id: e.annotator_id for e in entries(lab, left_at=None)}
    assert all(open_.get(task_id, home) == home for task_id, home in gone.items())


def test_what_was_replaced_and_is_labelled_all_the_same_counts_for_its_batch(lab: FakeApp) -> None:
    """A page that is open keeps the list it had."""
    serve(lab, 1)
    fill(lab)
    serve(lab, 2, score=0.9, step=-0.005)
    fill(lab)
    gone = [e.task_id for e in entries(lab, exit=QueueExit.WITHDRAWN, annotator_id=ANNA.id)]
    assert len(gone) > 10
    for task_id in gone[:3]:
        label(lab, task_id)
    label(lab, gone[3], BEN)  # from another tab: no task of Anna's batch
    assert fill(lab) == ["update_queue_tab"]
    assert len(of(lab, "Anna")) == 17
    anna = tab_reports(lab.context, PROJECT)[0]
    assert (anna.left, anna.length) == (17, 20)
    assert fill(lab) == []
    labelled = {e.task_id for e in entries(lab, exit=QueueExit.LABELLED)}
    assert labelled == {*gone[:3]}
    # To the end of the batch, and the next is drawn.
    for task_id in gone[4:]:
        lab.label_studio.label(task_id, polygon(), by=ANNA.id, at=now())
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert 0 < len(of(lab, "Anna")) <= 20 - len(gone) + 1
    for task_id in of(lab, "Anna"):
        lab.label_studio.label(task_id, polygon(), by=ANNA.id, at=now())
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert len(of(lab, "Anna")) == 20


def test_while_the_next_version_scores_the_pool_nothing_moves(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    lab.add_version(2)  # serves, but has seen nothing
    assert fill(lab) == []


def test_before_the_first_version_there_are_queues_without_a_control_arm(lab: FakeApp) -> None:
    fill(lab)
    assert (len(of(lab, "Anna")), len(of(lab, "Ben"))) == (20, 20)
    found = entries(lab)
    assert {e.arm for e in found} == {QueueArm.STRATEGY}
    # `typical` needs embeddings, of which there are none yet: who really acted is kept.
    assert {(e.strategy, e.version_id) for e in found} == {("random", None)}
    serve(lab, 1)
    fill(lab)
    assert {e.strategy for e in entries(lab, left_at=None)} == {"random", "lowest_score"}
    assert fill(lab) == []


def test_with_the_first_version_chance_draws_too_in_place_of_what_was_drawn_before_it(
    lab: FakeApp,
) -> None:
    fill(lab)
    early = {e.batch for e in entries(lab)}
    serve(lab, 1)
    fill(lab)
    for person in (ANNA, BEN):
        now_there = entries(lab, annotator_id=person.id, left_at=None)
        assert 18 <= len({e.task_id for e in now_there}) <= 22
    control = entries(lab, left_at=None, arm=QueueArm.CONTROL)
    assert len(control) == 4 and not early & {e.batch for e in control}
    # The two that may be open stay in the batch of before.
    assert sum(e.batch in early for e in entries(lab, left_at=None)) >= 4
    serve(lab, 2)
    fill(lab)
    # Another version draws no other control tasks.
    after = entries(lab, left_at=None, arm=QueueArm.CONTROL)
    assert {e.task_id for e in after} == {e.task_id for e in control}


def test_once_there_are_embeddings_typical_images_take_the_places_of_random_ones(
    lab: FakeApp,
) -> None:
    fill(lab)
    begun = of(lab, "Anna")[0]
    lab.label_studio.drafts = {begun: {ANNA.id}}
    rng = np.random.default_rng(0)
    # Two kinds of images; the second is rare.
    kinds = np.eye(8)[[int(task_id > 90) for task_id in range(1, 103)]]
    with lab.store.begin() as session:
        for task_id, kind in enumerate(kinds, start=1):
            task = session.get_one(TaskRow, task_id)
            vector = kind + 0.1 * rng.normal(size=8)
            made = np.asarray(vector / np.linalg.norm(vector), np.float32)
            embeddings.save(session, task, "", made)
    assert fill(lab) == ["update_queue_tab", "update_queue_tab"]
    now_there = entries(lab, left_at=None)
    assert {e.strategy for e in now_there if e.task_id != begun} >= {"typical"}
    assert begun in of(lab, "Anna")
    assert len(now_there) == 40
    # Nothing changes any more: what is typical was drawn once.
    assert fill(lab) == []


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

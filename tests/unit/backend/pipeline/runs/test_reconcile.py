from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from backend.pipeline.runs import reconcile
from backend.pipeline.runs.reconcile import tick
from backend.store import projects
from backend.store.models import FoldRow, InboxRow, PredictionRow, ProjectRow, RunRow
from backend.store.tasks import readings
from domain.errors import StackError
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.queue import FakeQueue
from tests.needed import ON_POSTGRESQL


@pytest.fixture(autouse=True)
def _just_synced(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = time.time()


def _jobs(app: FakeApp) -> list[tuple[str, tuple[int, ...]]]:
    """What one tick asks for."""
    app.queue.asked.clear()
    tick(app.context)
    return app.jobs


def _hint(app: FakeApp, age_s: float, project_id: int = PROJECT) -> None:
    with app.store.begin() as session:
        received_at = time.time() - age_s
        session.add(InboxRow(project_id=project_id, action="X", received_at=received_at))


def _asked_at(app: FakeApp, age_s: float) -> None:
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).sync_asked_at = time.time() - age_s


SYNC = ("sync", (PROJECT,))


def test_a_quiet_project_costs_nothing(app: FakeApp) -> None:
    assert _jobs(app) == []


def test_a_hint_leads_to_a_reading_once_it_is_quiet(app: FakeApp) -> None:
    _hint(app, 1.0)
    assert _jobs(app) == []  # debounced: more may follow
    _hint(app, 3.0)
    assert _jobs(app) == []  # the newest counts
    with app.store.begin() as session:
        session.get_one(InboxRow, 1).received_at = time.time() - 2.5
    assert _jobs(app) == [SYNC]
    assert _jobs(app) == []  # asked for; not again every second while it runs


def test_a_reading_that_did_not_happen_is_asked_for_again(app: FakeApp) -> None:
    _hint(app, 100.0)
    _asked_at(app, reconcile.RETRY_SYNC_S - 1)
    assert _jobs(app) == []
    _asked_at(app, reconcile.RETRY_SYNC_S + 1)
    assert _jobs(app) == [SYNC]


def test_a_hint_after_the_last_reading_does_not_wait_for_the_retry(app: FakeApp) -> None:
    _asked_at(app, 4.0)
    _hint(app, 3.0)
    assert _jobs(app) == [SYNC]


@pytest.mark.parametrize(("age_s", "is_due"), [(59, False), (61, True)])
def test_without_hints_the_timer_reads(app: FakeApp, age_s: float, is_due: bool) -> None:
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).synced_at = time.time() - age_s
    assert _jobs(app) == ([SYNC] if is_due else [])
    assert _jobs(app) == []


def test_a_new_project_is_read_at_once(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.add(ProjectRow(id=2))
    assert _jobs(app) == [("sync", (2,))]


def test_hints_of_unknown_projects_are_ignored(app: FakeApp) -> None:
    _hint(app, 100.0, project_id=9)
    assert _jobs(app) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (RunStatus.QUEUED, "advance"),
        (RunStatus.PREPARING, "advance"),
        (RunStatus.EVALUATING, "advance"),
        (RunStatus.SCORING, "score"),
        (RunStatus.PUBLISHING, "publish"),
        (RunStatus.DONE, None),
        (RunStatus.FAILED, None),
        (RunStatus.CANCELLED, None),
    ],
)
def test_a_run_waits_for_the_job_of_its_status(
    app: FakeApp, status: RunStatus, expected: str | None
) -> None:
    # The ids differ, so that a mix-up shows.
    for number in (1, 2):
        app.add_run(RunStatus.DONE, number)
    run_id = app.add_run(status, 3)
    ids = {"advance": (run_id,), "score": (PROJECT, 0), "publish": (PROJECT,)}
    assert _jobs(app) == ([(expected, ids[expected])] if expected else [])


@pytest.mark.parametrize("field", ["lease_until", "not_before"])
def test_a_run_that_is_held_or_pauses_is_left_alone(app: FakeApp, field: str) -> None:
    app.add_run(RunStatus.EVALUATING, 1, **{field: time.time() + 10})
    assert _jobs(app) == []


Q, R, D, F = FoldStatus.QUEUED, FoldStatus.RUNNING, FoldStatus.DONE, FoldStatus.FAILED


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        ([(Q, False), (Q, False)], [0, 1]),
        ([(R, True), (Q, False)], [1]),
        ([(R, False), (D, False)], [0]),  # its worker died
        ([(R, True), (R, True)], []),
        ([(D, False), (D, False)], "advance"),
        ([(D, False), (F, False)], "advance"),
        ([(F, False), (R, True)], "advance"),  # the run has failed already
    ],
)
def test_folds_that_wait_for_a_worker(
    app: FakeApp, folds: list[tuple[FoldStatus, bool]], expected: list[int] | str
) -> None:
    run_id = app.add_run(RunStatus.TRAINING)
    with app.store.begin() as session:
        for fold, (status, is_held) in enumerate(folds):
            lease = time.time() + 10 if is_held else 0.0
            session.add(FoldRow(run_id=run_id, fold=fold, status=status, lease_until=lease))
    if expected == "advance":
        assert _jobs(app) == [("advance", (run_id,))]
    else:
        assert _jobs(app) == [("train_fold", (run_id, int(fold))) for fold in expected]


def _predict(app: FakeApp, version_id: int, age_s: float) -> None:
    app.add_tasks(1)
    with app.store.begin() as session:
        session.add(
            PredictionRow(
                project_id=PROJECT,
                task_id=1,
                version_id=version_id,
                created_at=time.time() - age_s,
            )
        )


def test_a_prediction_label_studio_did_not_store_is_pushed(app: FakeApp) -> None:
    _predict(app, app.add_version(published_at=1.0), reconcile.PUSH_AFTER_S + 1)
    assert _jobs(app) == [("publish", (PROJECT,))]


def test_label_studio_gets_time_to_store_an_answer_itself(app: FakeApp) -> None:
    _predict(app, app.add_version(published_at=1.0), reconcile.PUSH_AFTER_S - 5)
    assert _jobs(app) == []


@pytest.mark.parametrize("control", [RunControl.RUN, RunControl.PAUSE])
def test_while_the_next_run_trains_what_serves_is_pushed(app: FakeApp, control: RunControl) -> None:
    _predict(app, app.add_version(published_at=1.0), reconcile.PUSH_AFTER_S + 1)
    app.add_run(RunStatus.TRAINING, 2, control=control, lease_until=time.time() + 10)
    assert _jobs(app) == [("publish", (PROJECT,))]


@pytest.mark.parametrize("status", [s for s in RunStatus if not s.is_final])
def test_nothing_is_enqueued_for_a_paused_run(app: FakeApp, status: RunStatus) -> None:
    run_id = app.add_run(status, control=RunControl.PAUSE)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0))
    assert _jobs(app) == []


def test_a_run_whose_canceller_went_away_is_ended(app: FakeApp) -> None:
    run_id = app.add_run(
        RunStatus.TRAINING, control=RunControl.CANCEL, lease_until=time.time() + 10
    )
    assert _jobs(app) == []
    assert app.run(run_id).status == RunStatus.TRAINING
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).lease_until = 0.0
    assert _jobs(app) == []
    assert app.run(run_id).status == RunStatus.CANCELLED


def test_an_active_run_publishes_by_itself(app: FakeApp) -> None:
    _predict(app, app.add_version(published_at=1.0), reconcile.PUSH_AFTER_S + 1)
    app.add_run(RunStatus.EVALUATING, 2, lease_until=time.time() + 10)
    assert _jobs(app) == []


def test_a_champion_whose_publishing_failed_is_published(app: FakeApp) -> None:
    app.add_version()
    app.add_run(RunStatus.FAILED, 2)
    assert _jobs(app) == [("publish", (PROJECT,))]


class _DeadQueue(FakeQueue):
    def ensure(self, name: object, *ids: int) -> bool:
        raise StackError("Redis does not answer.")


def test_without_redis_the_hint_stays(app: FakeApp) -> None:
    _hint(app, 3.0)
    context = type(app.context)(app.context.settings, app.store, _DeadQueue())
    with pytest.raises(StackError):
        tick(context)
    _asked_at(app, reconcile.RETRY_SYNC_S + 1)
    with app.store.begin() as session:
        assert len(projects.open_hints(session)) == 1
    assert _jobs(app) == [SYNC]


def test_the_first_round_has_all_of_every_project_read(app: FakeApp) -> None:
    with app.store.begin() as session:
        readings.began(session, PROJECT)
    rounds = reconcile.rounds(app.context)
    app.queue.asked.clear()
    for doubt in ("nnloop was started", ""):
        rounds()
        with app.store.begin() as session:
            row = readings.began(session, PROJECT)
            assert row.doubt == doubt
            row.doubt = ""  # as a reading of all does
    assert app.jobs == []  # when it is due


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL takes no document that is no JSON")
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("project", "settings"),
        ("project", "label_mapping"),
        ("training_run", "settings"),
        ("training_run", "seconds"),
        ("fold_result", "result"),
    ],
)
def test_a_document_that_cannot_be_read_holds_up_no_other_project(
    app: FakeApp, table: str, column: str
) -> None:
    app.add_run(RunStatus.TRAINING, 1)
    with app.store.begin() as session:
        run_id = session.query(RunRow).one().id
        session.add(FoldRow(run_id=run_id, fold=0))
        session.get_one(ProjectRow, PROJECT).synced_at = 0.0
        session.add(ProjectRow(id=PROJECT + 1, title="another"))
        session.flush()
        session.add(RunRow(project_id=PROJECT + 1, number=1, status=RunStatus.QUEUED))
        other = PROJECT + 1
    with app.store.begin() as session:
        session.execute(text(f"UPDATE {table} SET {column} = '[1'"))
        if table == "project":  # the other's can be read
            session.execute(text(f"UPDATE project SET {column} = '{{}}' WHERE id = {other}"))
    asked = _jobs(app)
    assert ("sync", (PROJECT,)) in asked and ("sync", (other,)) in asked
    assert ("advance", (run_id + 1,)) in asked and ("train_fold", (run_id, 0)) in asked

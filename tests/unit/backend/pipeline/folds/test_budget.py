from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pipeline.folds.budget import (
    FLOOR_S,
    budget_of,
    fold_budget,
    folds_that_fit,
    share,
)
from backend.settings import ProjectSettings
from backend.store.models import FoldRow, ProjectRow, RunRow
from domain.case import Manifest
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import FakeApp
from tests.fakes.documents import run_manifest
from training.presets import FAST


@pytest.mark.parametrize(
    ("left_s", "waiting", "free_in_s", "expected"),
    [
        (600, 3, [0], 200),  # one worker: one after the other
        (600, 3, [0, 0, 0], 600),
        (600, 3, [0, 0], 300),  # two rounds
        (600, 2, [0, 300], 300),  # the second start of that round: the third fold comes after it
        (300, 1, [0], 300),  # and the third, alone
        (600, 5, [0, 0], 200),
        (300, 2, [0, 5], 295),  # a moment before the other worker is free, not half
        (300, 2, [0, 299], 150),
        (0, 1, [0], 0),
        (-5, 1, [0], 0),
    ],
)
def test_share(left_s: float, waiting: int, free_in_s: list[float], expected: float) -> None:
    assert share(left_s, waiting, free_in_s) == pytest.approx(expected)


@given(
    left_s=st.floats(1, 1e5),
    waiting=st.integers(1, 12),
    free_in_s=st.lists(st.floats(0, 1e5), min_size=1, max_size=6),
)
def test_shares_fit_and_could_not_be_longer(
    left_s: float, waiting: int, free_in_s: list[float]
) -> None:
    found = share(left_s, waiting, free_in_s)

    def folds_within(length: float) -> int:
        return sum(int((left_s - busy) / length) for busy in free_in_s if busy < left_s)

    if found == 0:
        assert min(free_in_s) >= left_s
    else:
        assert folds_within(found * (1 - 1e-5)) >= waiting
        assert folds_within(found * (1 + 1e-5)) < waiting


@pytest.mark.parametrize("n_workers", [1, 2, 3, 5])
@pytest.mark.parametrize("n_folds", [1, 2, 3, 5, 7])
def test_a_run_ends_within_its_budget_and_leaves_no_worker_idle_for_a_fold(
    n_workers: int, n_folds: int
) -> None:
    budget = 600.0
    workers = [0.0] * n_workers
    shares = []
    for fold in range(n_folds):
        now = min(workers)
        free_in = [at - now for at in workers]
        shares.append(share(budget - now, n_folds - fold, free_in))
        workers[workers.index(now)] = now + shares[-1]
    assert max(workers) <= budget + 1e-6
    rounds = math.ceil(n_folds / n_workers)
    assert shares == pytest.approx([budget / rounds] * n_folds)


@pytest.mark.parametrize(
    ("budget_s", "n_folds", "n_workers", "expected"),
    [
        (10 * FLOOR_S, 5, 1, 5),
        (3.5 * FLOOR_S, 5, 1, 3),
        (1.5 * FLOOR_S, 5, 4, 4),
        (0.5 * FLOOR_S, 5, 1, 2),  # never fewer than two
        (0.5 * FLOOR_S, 1, 1, 1),
    ],
)
def test_folds_that_fit(budget_s: float, n_folds: int, n_workers: int, expected: int) -> None:
    assert folds_that_fit(budget_s, n_folds, n_workers) == expected


NOW = time.time()


def _run(app: FakeApp, budget_s: float | None, folds: list[tuple[FoldStatus, float]]) -> int:
    """A run that trains since 100 s; folds as (status, seconds until it is done, 0 if free)."""
    settings = ProjectSettings(budget_s=budget_s).model_dump(mode="json")
    run_id = app.add_run(RunStatus.TRAINING, settings=settings, stage_started_at=NOW - 100)
    with app.store.begin() as session:
        for fold, (status, eta_s) in enumerate(folds):
            lease = NOW + 10 if eta_s else 0.0
            session.add(
                FoldRow(run_id=run_id, fold=fold, status=status, eta_s=eta_s, lease_until=lease)
            )
    return run_id


def _budget(app: FakeApp, run_id: int, fold: int, n_workers: int) -> float | None:
    with app.store.begin() as session:
        return fold_budget(session, session.get_one(RunRow, run_id), fold, n_workers, NOW)


Q, R, D = FoldStatus.QUEUED, FoldStatus.RUNNING, FoldStatus.DONE


@pytest.mark.parametrize(
    ("budget_s", "folds", "n_workers", "expected"),
    [
        (700, [(Q, 0), (D, 0), (Q, 0)], 1, 300),
        (700, [(Q, 0), (R, 250), (Q, 0)], 2, 350),
        (700, [(Q, 0), (R, 0), (D, 0)], 1, 300),  # the worker of fold 1 died
        (700, [(Q, 0), (R, 580)], 1, 600),  # more at work than workers known of
        (101, [(Q, 0), (Q, 0)], 1, FLOOR_S),
        (50, [(Q, 0)], 1, FLOOR_S),  # over already
    ],
)
def test_a_fold_gets_its_share_of_what_is_left(
    app: FakeApp,
    budget_s: float,
    folds: list[tuple[FoldStatus, float]],
    n_workers: int,
    expected: float,
) -> None:
    assert _budget(app, _run(app, budget_s, folds), 0, n_workers) == pytest.approx(expected, 1e-3)


def test_without_a_budget_a_fold_has_none(app: FakeApp) -> None:
    assert _budget(app, _run(app, None, [(Q, 0)]), 0, 1) is None


def test_workers_are_shared_with_the_runs_of_other_projects(app: FakeApp) -> None:
    run_id = _run(app, 700, [(Q, 0), (Q, 0)])
    with app.store.begin() as session:
        session.add(ProjectRow(id=2))
        session.add(RunRow(project_id=2, number=1, status=RunStatus.TRAINING))
    assert _budget(app, run_id, 0, 1) == pytest.approx(150)  # half the time of one worker
    assert _budget(app, run_id, 0, 2) == pytest.approx(300)  # one of two
    assert _budget(app, run_id, 0, 4) == pytest.approx(600)


def test_time_that_a_run_stood_still_does_not_count(app: FakeApp) -> None:
    run_id = _run(app, 700, [(Q, 0)])
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        run.seconds = {"training": 50.0, "paused": 9000.0}
    assert _budget(app, run_id, 0, 1) == pytest.approx(550, 1e-3)


@pytest.mark.parametrize(
    ("told", "of_preset", "expected"),
    [(None, None, None), (None, 360.0, 360.0), (60.0, 360.0, 60.0), (0.0, 360.0, None)],
)
def test_the_presets_budget_holds_until_somebody_says_otherwise(
    app: FakeApp, told: float | None, of_preset: float | None, expected: float | None
) -> None:
    run_id = _run(app, told, [(Q, 0)])
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        run.manifest = run_manifest(Manifest(()), replace(FAST, budget_s=of_preset))
        assert budget_of(run) == expected

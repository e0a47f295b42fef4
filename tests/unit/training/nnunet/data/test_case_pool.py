from __future__ import annotations

import os

import pytest

from training.nnunet.data import case_pool
from training.nnunet.data.case_pool import CasePool


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


@pytest.fixture
def _pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes as soon as a case was timed, on any machine."""
    monkeypatch.setattr(case_pool, "START_S", 0.0)
    monkeypatch.setattr(case_pool, "usable_cores", lambda: 2)


def test_a_few_cases_need_no_process() -> None:
    beats = []
    with CasePool(lambda: beats.append(1)) as pool:
        found = dict(pool.map(square, range(5), 0))
    assert found == {i: (i * i, os.getpid()) for i in range(5)}
    assert pool.n_workers == 0
    assert len(beats) == 5


@pytest.mark.usefixtures("_pays")
def test_scarce_memory_allows_no_process() -> None:
    with CasePool() as pool:
        assert len(dict(pool.map(square, range(5), item_bytes=2**50))) == 5
    assert pool.n_workers == 0


@pytest.mark.usefixtures("_pays")
def test_memory_that_goes_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([2])
    monkeypatch.setattr(case_pool, "_affordable_workers", lambda _bytes: next(looks, 0))
    with CasePool() as pool:
        assert pool._pays(50, 1.0, item_bytes=0)
        # The second look would say none: a pool of no processes can't be made.
        executor = pool._started()
        assert pool.n_workers == 2
        assert executor is pool._started()


@pytest.mark.parametrize(
    ("n_left", "seconds_each", "has_pool", "pays"),
    [
        (1, 1e9, False, False),
        (50, 0.0, False, False),
        # Two processes save half of 25 s: more than twice the 6 s they take to start.
        (50, 0.5, False, True),
        (40, 0.5, False, False),
        (2, 0.1, True, True),
    ],
)
def test_when_other_processes_pay(
    monkeypatch: pytest.MonkeyPatch, n_left: int, seconds_each: float, has_pool: bool, pays: bool
) -> None:
    monkeypatch.setattr(case_pool, "usable_cores", lambda: 2)
    monkeypatch.setattr(case_pool, "_MEMORY_SHARE", 1e6)
    monkeypatch.setattr(case_pool, "START_S", 6.0)
    pool = CasePool()
    if has_pool:
        pool._n_workers, pool._executor = 2, object()  # type: ignore[assignment]
    assert pool._pays(n_left, seconds_each, item_bytes=0) is pays


def test_what_the_beat_raises_ends_the_work() -> None:
    done: list[int] = []

    def beat() -> None:
        if len(done) == 2:
            raise InterruptedError

    with CasePool(beat) as pool, pytest.raises(InterruptedError):
        for position, _ in pool.map(square, range(9), 0):
            done.append(position)
    assert done == [0, 1]

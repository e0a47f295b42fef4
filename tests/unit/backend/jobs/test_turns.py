from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from backend.jobs.turns import Pause, Turns
from tests.unit.backend.stack.conftest import eventually


def _turns(
    work: Callable[[Pause], None],
    asked: list[int] | None = None,
    stop: threading.Event | None = None,
) -> Turns:
    stop = stop or threading.Event()
    asked = [] if asked is None else asked
    return Turns(work, while_waiting=lambda: asked.append(1), must_go_on=stop.is_set)


def test_work_moves_only_in_its_turns() -> None:
    done: list[int] = []

    def work(pause: Pause) -> None:
        for part in range(3):
            pause()
            done.append(part)

    asked: list[int] = []
    turns = _turns(work, asked)
    for parts in ([], [0], [0, 1]):
        turns.take(0)  # time is over at once: each turn ends at the next pause
        assert (done, turns.is_over) == (parts, False)
    # It asks for its next turn, and does nothing else meanwhile.
    assert eventually(lambda: len(asked) >= 2)
    assert done == [0, 1]
    turns.take(60)
    assert (done, turns.is_over) == ([0, 1, 2], True)
    turns.join()


def test_work_within_its_time_is_not_cut() -> None:
    done: list[int] = []

    def work(pause: Pause) -> None:
        for part in range(100):
            pause()
            done.append(part)

    turns = _turns(work)
    turns.take(60)
    assert (len(done), turns.is_over) == (100, True)


def test_what_it_raises_reaches_who_takes_the_turn() -> None:
    def work(pause: Pause) -> None:
        pause()
        raise ZeroDivisionError("by nought")

    turns = _turns(work)
    turns.take(0)
    with pytest.raises(ZeroDivisionError):
        turns.take(60)
    assert turns.is_over


def test_a_process_that_ends_waits_for_no_turn() -> None:
    stop, went_on = threading.Event(), threading.Event()

    def work(pause: Pause) -> None:
        pause()
        went_on.set()

    turns = _turns(work, stop=stop)
    turns.take(0)
    assert not went_on.wait(0.05)
    stop.set()
    began = time.monotonic()
    turns.join()
    assert went_on.is_set() and time.monotonic() - began < 5

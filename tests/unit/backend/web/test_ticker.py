from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy.exc import OperationalError

from backend.web.recurring_log import RecurringLog
from backend.web.ticker import Ticker
from domain.errors import StackError


def test_survives_everything_and_logs_each_fault_once(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[Exception] = [
        StackError("Redis is gone.", remedy="Start it."),
        StackError("Redis is gone.", remedy="Start it."),
        ValueError("odd"),
        ValueError("odd"),
        OperationalError("SELECT secret-url", {}, RuntimeError("disk full")),
    ]
    done = threading.Event()

    def tick() -> None:
        if faults:
            raise faults.pop(0)
        done.set()

    ticker = Ticker(tick, interval_s=0.001)
    ticker.start()
    assert done.wait(30)
    assert ticker.is_alive
    ticker.stop()
    assert not ticker.is_alive
    assert caplog.text.count("Redis is gone. Start it.") == 1
    assert caplog.text.count("ValueError: odd") == 1
    assert "disk full" in caplog.text
    assert "secret-" not in caplog.text


def test_waits_between_rounds() -> None:
    rounds: list[float] = []
    ticker = Ticker(lambda: rounds.append(time.monotonic()), interval_s=0.2)
    ticker.start()
    until = time.monotonic() + 5
    while len(rounds) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    ticker.stop()
    assert min(rounds[1] - rounds[0], rounds[2] - rounds[1]) >= 0.19


def test_stops_without_waiting_for_the_next_round() -> None:
    rounds: list[int] = []
    ticker = Ticker(lambda: rounds.append(1), interval_s=60)
    ticker.start()
    ticker.stop()
    assert not ticker.is_alive
    assert rounds == [1]


def test_message_is_due_again_after_the_period() -> None:
    log = RecurringLog(period_s=0.05)
    assert [log.is_due("a"), log.is_due("a"), log.is_due("b")] == [True, False, True]
    time.sleep(0.06)
    assert log.is_due("a")

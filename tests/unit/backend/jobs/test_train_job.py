from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.jobs import train as job
from backend.pipeline.folds.train import WorkerDevice
from training.processes.forked import ForkServer


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    job._forks.cache_clear()
    yield
    job._forks.cache_clear()


@pytest.mark.parametrize(
    ("device", "can_fork", "forks"),
    [("cpu", True, True), ("cpu", False, False), ("cuda:0", True, False), ("mps", True, False)],
)
def test_folds_are_forked_where_that_is_safe(
    monkeypatch: pytest.MonkeyPatch, device: str, can_fork: bool, forks: bool
) -> None:
    monkeypatch.setattr(job, "device", lambda: WorkerDevice(device, 1))
    monkeypatch.setattr(job, "CAN_FORK", can_fork)
    warmed: list[str] = []
    monkeypatch.setattr(ForkServer, "warm", lambda _: warmed.append(device))
    job.prepare()
    assert warmed == ([device] if forks else [])

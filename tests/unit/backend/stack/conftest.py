from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.stack.process import ProcessSpec

MakeSpec = Callable[..., ProcessSpec]


def eventually(check: Callable[[], object], timeout_s: float = 10.0) -> bool:
    """Whether a check comes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def python(tmp_path: Path) -> MakeSpec:
    """Makes the spec of a process that runs some Python."""

    def make(code: str, name: str = "worker", **fields: object) -> ProcessSpec:
        defaults: dict[str, object] = {"start_timeout_s": 10.0, "stop_grace_s": 2.0}
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-S", "-c", code),
            log_path=tmp_path / f"{name}.log",
            **(defaults | fields),  # type: ignore[arg-type]
        )

    return make

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from tests.fakes.clocks import Clocks
from training.processes.birth import birth_mark, seconds_alive


def test_a_process_has_one_mark_and_no_other_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = birth_mark(os.getpid())
    # Its name may hold anything, brackets and blanks too.
    child = subprocess.Popen(["sleep", "60"], executable="/bin/sleep")
    try:
        assert birth_mark(child.pid) != ours
        Clocks(monkeypatch).set_wall(-3600.0)
        assert birth_mark(os.getpid()) == ours
    finally:
        child.kill()
        child.wait()
    with pytest.raises(psutil.NoSuchProcess):
        birth_mark(child.pid)


def test_a_process_knows_its_age_without_the_walls_clock() -> None:
    code = (
        "import time; wall = time.time; time.time = lambda: wall() - 3600.0;"
        "from training.processes.birth import seconds_alive;"
        "time.sleep(0.5); print(seconds_alive())"
    )
    started = time.monotonic()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.5 <= float(said.stdout) <= time.monotonic() - started + 0.1
    assert seconds_alive() > 0.0

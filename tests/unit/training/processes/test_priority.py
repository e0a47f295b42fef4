from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.processes.priority import NICENESS, VARIABLE

ASK = """
import os
from pathlib import Path
from training.processes.priority import stand_back
stand_back()
stand_back()
group = Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), group.read_text().split()[-1] if group.exists() else "")
"""


@pytest.mark.parametrize(("before", "after"), [(0, NICENESS), (15, 15)])
def test_a_training_and_its_session_stand_back(
    before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    code = f"import os; os.nice({before}){ASK}"
    # In a session of its own, as every process of a training.
    answer = subprocess.run(
        [sys.executable, "-c", code],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    own, *session = answer.stdout.split()
    assert int(own) >= after
    assert session in ([str(NICENESS)], []) or not Path("/proc/self/autogroup").exists()


@pytest.mark.parametrize(("chosen", "after"), [("0", 0), ("3", 3), ("99", 19), ("x", NICENESS)])
def test_how_far_is_a_setting(chosen: str, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, chosen)
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert int(done.stdout.split()[0]) == max(after, here)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from training.processes.priority import NICENESS

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
def test_a_training_and_its_session_stand_back(before: int, after: int) -> None:
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

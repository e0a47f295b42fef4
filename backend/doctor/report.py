"""The report: all that was found, for programs, without a secret."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backend.doctor.check import State
from backend.doctor.examine import Looked
from backend.doctor.support.redaction import Redactor

FORM = 1
"""Raised when a name in the report goes or changes its meaning; new ones may come."""

FINE, WRONG, UNKNOWN = 0, 1, 3
"""Exit codes: nothing is wrong; something is; nothing is, but not all could be looked at. 2 is that
of a command line that can't be read."""


def exit_code_of(looked: Sequence[Looked]) -> int:
    """The exit code of what was found."""
    states = {one.finding.state for one in looked}
    if State.WRONG in states:
        return WRONG
    return UNKNOWN if State.NOT_LOOKED in states or not states else FINE


def report_of(looked: Sequence[Looked], redactor: Redactor) -> dict[str, Any]:
    """The report as a JSON value; docs/doctor.md says what stands in it."""
    states = [one.finding.state for one in looked]
    return {
        "form": FORM,
        "nnloop": release(),
        "at": round(time.time(), 3),
        "exit_code": exit_code_of(looked),
        "counts": {str(state): states.count(state) for state in State},
        "checks": [
            {
                "id": one.check.id,
                "project": one.project_id,
                "question": one.check.question,
                "state": str(one.finding.state),
                "answer": redactor.text(one.finding.answer),
                "fix": redactor.text(one.finding.fix),
                "can_mend": one.finding.mend is not None,
                "mended": redactor.text(one.mended),
                "seconds": round(one.seconds, 3),
            }
            for one in looked
        ],
    }


def release() -> str:
    """The version of nnloop itself; "" where it is not installed as a package."""
    try:
        return version("nnloop")
    except PackageNotFoundError:
        return ""

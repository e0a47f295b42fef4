"""The tables and drawings of docs/runs.md as domain/states.py has them.

``python -m tests.unit.packaging.runs_doc`` writes them into the page.
"""

from __future__ import annotations

import re
from typing import Any

from domain.state_machine import StateMachine
from domain.states import CONTROL, FOLD, RUN
from tests.unit.packaging.paths import ROOT

PAGE = ROOT / "docs" / "runs.md"
MACHINES: dict[str, StateMachine[Any]] = {"RUN": RUN, "CONTROL": CONTROL, "FOLD": FOLD}


def updated(page: str) -> str:
    """The page with what is made from the machines, between its comments."""

    def block(match: re.Match[str]) -> str:
        machine = MACHINES[match[1]]
        parts = (machine.states_table(), machine.transitions_table())
        drawn = f"```mermaid\n{machine.diagram()}\n```"
        return "\n\n".join([f"<!-- {match[1]} -->", drawn, *parts, "<!-- end -->"])

    return re.sub(r"<!-- ([A-Z]+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""docs/retention.md says of every table what bounds it, and tells the numbers that hold."""

from __future__ import annotations

import re

from backend.pipeline.gate.retention import KEPT_RUN_LOGS
from backend.pipeline.runs import upkeep
from backend.store import hints
from backend.store.all_tables import TABLES
from backend.store.tasks import old_rows
from backend.store.training import notices
from backend.store.upgrade import COPIES_KEPT
from tests.unit.packaging.paths import ROOT

PAGE = (ROOT / "docs" / "retention.md").read_text()
DAY_S = 86_400.0


def test_every_table_is_named() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}
    assert {table.name for table in TABLES} <= named


def test_the_numbers_are_those_of_the_code() -> None:
    kept_s = {
        hints.KEPT_S,
        notices.KEPT_S,
        upkeep.PROBLEMS_KEPT_S,
        old_rows.KEPT_S,
    }
    assert kept_s == {30 * DAY_S}
    assert f"the newest {hints.KEPT:,} of a project" in PAGE
    assert f"the newest {hints.KEPT_UNCONNECTED}, of all these" in PAGE
    assert f"of all these {hints.KEPT_OF_ALL_UNCONNECTED:,}" in PAGE
    assert f"the newest {KEPT_RUN_LOGS} runs" in PAGE
    assert f"at most {upkeep.PORTION} rows" in PAGE
    assert upkeep.EVERY_S == 3_600 and "once an hour" in PAGE
    assert COPIES_KEPT == 2 and "the newest two" in PAGE

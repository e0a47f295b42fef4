"""docs/active-learning.md has a row for each strategy, and it says who acts without it."""

import re

import pytest

from active_learning.strategies import STRATEGY_NAMES
from active_learning.strategies.registry import otherwise_of
from tests.unit.packaging.paths import ROOT

# The table of strategies alone: the document has other tables with a strategy in front.
_, TABLE = (ROOT / "docs/active-learning.md").read_text().split("| name | what it takes |")
ROWS = dict(re.findall(r"^\| `(\w+)` \|(.*)$", TABLE.split("\n\n")[0], re.MULTILINE))
WITH_CHANCE = ("softmax_", "softrank_", "power_")


@pytest.mark.parametrize("name", [n for n in STRATEGY_NAMES if not n.startswith(WITH_CHANCE)])
def test_each_strategy_has_a_row(name: str) -> None:
    without = ROWS[name].split("|")[2]
    assert without.strip().strip("`") == otherwise_of(name)

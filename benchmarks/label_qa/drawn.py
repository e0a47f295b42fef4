"""Other projects, drawn from what was measured: with few labels, or with one fault in many of them.

Nothing is trained for them: doubts of single cases are put together anew, as if the networks had
been as good. With few labels, or where a fifth of them is wrong, they would be worse.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from active_learning.label_qa import doubted_labels
from benchmarks.label_qa.figures import doubts_of
from domain.doubts import Doubt, DoubtKind

N_DRAWS = 100
SMALL = (5, 10, 20, 40)
"""Labels of a small project, of which one is broken."""

SHARES = (0.05, 0.1, 0.2, 0.3)
"""Of ``N_LABELS`` labels: are broken, all the same way."""

N_LABELS = 90

_Cases = Mapping[str, Sequence[Doubt]]


def small_projects(
    row: Mapping[str, Any], rng: np.random.Generator
) -> dict[int, tuple[float, float]]:
    """Labels of the project -> how often the broken one is listed, and the share of others that is.

    Args:
        row: A line of the results.
        rng: Draws the labels.
    """
    right, broken = _parted(row)
    wrong = [doubts for of_kind in broken.values() for doubts in of_kind]
    found = {}
    for n in SMALL:
        listed = [_listed(right, wrong, n - 1, 1, rng) for _ in range(N_DRAWS)]
        hits, alarms = zip(*listed, strict=True)
        found[n] = round(statistics.fmean(hits), 3), round(statistics.fmean(alarms), 3)
    return found


def common_faults(
    row: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, dict[float, float]]:
    """Kind -> share of all labels that is broken that way -> share of these that is listed."""
    right, broken = _parted(row)
    found: dict[str, dict[float, float]] = {}
    for kind, wrong in broken.items():
        for share in SHARES:
            k = round(share * N_LABELS)
            hits = [_listed(right, wrong, N_LABELS - k, k, rng)[0] for _ in range(N_DRAWS)]
            found.setdefault(str(kind), {})[share] = round(statistics.fmean(hits), 3)
    return found


def _parted(row: Mapping[str, Any]) -> tuple[_Cases, dict[DoubtKind, list[list[Doubt]]]]:
    """The doubts of the labels left as they were, and of each kind's broken ones."""
    doubts = doubts_of(row)
    how = {case["case"]: case["broken"] for case in row["cases"]}
    broken: dict[DoubtKind, list[list[Doubt]]] = {}
    for case_id, kind in how.items():
        if kind:
            broken.setdefault(DoubtKind(kind), []).append(doubts[case_id])
    return {case_id: doubts[case_id] for case_id in doubts if not how[case_id]}, broken


def _listed(
    right: _Cases,
    wrong: Sequence[Sequence[Doubt]],
    n_right: int,
    n_wrong: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Of labels drawn from both, the shares of the wrong and of the right ones that are listed."""
    ids = sorted(right)
    drawn = {ids[i]: right[ids[i]] for i in rng.choice(len(ids), n_right, replace=False)}
    faults = {f"wrong {i}": wrong[int(rng.integers(len(wrong)))] for i in range(n_wrong)}
    told = {one.case_id for one in doubted_labels({**drawn, **faults}) if one.is_doubtful}
    return len(told & faults.keys()) / n_wrong, len(told & drawn.keys()) / n_right

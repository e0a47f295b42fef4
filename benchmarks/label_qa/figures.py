"""From doubts to figures: which of the broken labels are among the worst tenth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from active_learning.label_qa import doubted_labels
from domain.doubts import Doubt, DoubtKind

WORST = 0.1
"""Of all cases: what a person would look through."""


def summarise(rows: Sequence[Mapping[str, Any]], developed_on: Collection[str]) -> dict[str, Any]:
    """All figures.

    Args:
        rows: One per set and seed: ``data``, ``cases`` (``case``, ``broken``, ``doubts``).
        developed_on: Sets that the method was developed on.

    Returns:
        ``datasets`` (name -> kind -> recall; ``all`` over all broken labels), ``named`` (the same
        of those found, the share whose kind was told right), ``n`` (name -> kind -> broken
        labels), ``seeds`` (name -> how many), ``judged`` (kind -> recall over the sets that the
        method was not developed on), ``listed`` (name -> share of the broken labels that stand out
        so far that a person is told) and ``false_alarms`` (name -> the same share of all others,
        which are taken to be right).
    """
    names = list(dict.fromkeys(row["data"] for row in rows))
    found = {
        name: [one for row in rows if row["data"] == name for one in _found(row)] for name in names
    }
    judging = [one for name in names if name not in developed_on for one in found[name]]
    return {
        "datasets": {name: _shares((k, hit) for k, hit, _ in found[name]) for name in names},
        "named": {
            name: _shares((k, right) for k, hit, right in found[name] if hit) for name in names
        },
        "n": {name: _counts(kind for kind, _, _ in found[name]) for name in names},
        "seeds": {name: sum(row["data"] == name for row in rows) for name in names},
        "judged": _shares((k, hit) for k, hit, _ in judging),
        "listed": {name: _listed(rows, name, broken=True) for name in names},
        "false_alarms": {name: _listed(rows, name, broken=False) for name in names},
    }


def to_markdown(figures: Mapping[str, Any]) -> str:
    """One row per set; in each cell the recall, and of how many.

    Last the shares that are listed: of the broken labels, and of 100 others.
    """
    kinds = [*map(str, DoubtKind), "all"]
    columns = ["set", "seeds", *kinds, "listed", "of 100 others"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for name, recall in figures["datasets"].items():
        n = figures["n"][name]
        cells = [f"{recall[k]:.2f} of {n[k]}" if k in recall else "" for k in kinds]
        listed = [f"{figures['listed'][name]:.2f}", f"{100 * figures['false_alarms'][name]:.1f}"]
        row = [name, str(figures["seeds"][name]), *cells, *listed]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def doubts_of(row: Mapping[str, Any]) -> dict[str, list[Doubt]]:
    """Case id -> its doubts, of a line of the results."""
    return {
        case["case"]: [
            Doubt(DoubtKind(kind), strength, label, other, (x, y, width, height))
            for kind, strength, label, other, x, y, width, height in case["doubts"]
        ]
        for case in row["cases"]
    }


def _found(row: Mapping[str, Any]) -> list[tuple[str, bool, bool]]:
    """Of each broken label: how, whether it is among the worst, whether that is what is said."""
    ranked = doubted_labels(doubts_of(row))
    worst = ranked[: math.ceil(WORST * len(row["cases"]))]
    said = {one.case_id: one.doubt.kind for one in worst}
    return [
        (case["broken"], case["case"] in said, said.get(case["case"]) == case["broken"])
        for case in row["cases"]
        if case["broken"]
    ]


def _listed(rows: Sequence[Mapping[str, Any]], name: str, *, broken: bool) -> float:
    """The share of a set's broken labels, or of its others, that is listed."""
    is_listed = []
    for row in rows:
        if row["data"] == name:
            told = {one.case_id for one in doubted_labels(doubts_of(row)) if one.is_doubtful}
            cases = (case for case in row["cases"] if bool(case["broken"]) is broken)
            is_listed += [case["case"] in told for case in cases]
    return round(statistics.fmean(is_listed), 3) if is_listed else 0.0


def _shares(found: Iterable[tuple[str, bool]]) -> dict[str, float]:
    by_kind: dict[str, list[bool]] = {}
    for kind, is_so in found:
        for name in (kind, "all"):
            by_kind.setdefault(name, []).append(is_so)
    order = [*map(str, DoubtKind), "all"]
    return {k: round(statistics.fmean(by_kind[k]), 3) for k in order if k in by_kind}


def _counts(kinds: Iterable[str]) -> dict[str, int]:
    found = list(kinds)
    counted = {str(k): found.count(k) for k in DoubtKind if k in found}
    return {**counted, "all": len(found)}

"""The figures of ``benchmarks.active``: which strategy gains most, where it wins and loses."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.replay.figures import censored_median
from backend.replay.options import ORACLE, RANDOM
from backend.replay.results import Results


@dataclass(frozen=True, slots=True)
class Setting:
    """A set and a budget."""

    data: str
    budget: str

    @property
    def name(self) -> str:
        """As it stands in the figures."""
        return f"{self.data}/{self.budget}"


def settings(sets: Sequence[str], budgets: Sequence[str]) -> Iterator[Setting]:
    """All of them."""
    for budget in budgets:
        for data in sets:
            yield Setting(data, budget)


def summarise(found: Mapping[Setting, Results]) -> dict[str, Any]:
    """The figures.

    Args:
        found: Setting -> what was played of it; those without two seeds of random and another
            strategy count for nothing.

    Returns:
        ``default``, ``wins`` and ``losses`` (names of settings), ``gains`` (strategy -> mean
        difference of AUBC from random over the settings), ``significant`` (strategy -> settings in
        which it is better, worse), ``ratio`` (strategy -> median over the sets of labels to 95 %
        over random's; None where half of them can't be told), ``datasets``, ``settings``.
    """
    compared = {
        setting: results.compared(results.aubc())
        for setting, results in found.items()
        if len(results.rounds.get(RANDOM, {})) > 1
    }
    names = list(dict.fromkeys(name for rows in compared.values() for name in rows))
    gains = {
        name: statistics.fmean(rows[name].difference for rows in compared.values() if name in rows)
        for name in names
    }
    live = [name for name in names if name != ORACLE]
    default = max(live, key=lambda name: gains[name], default=None)
    better = {
        name: [s.name for s, rows in compared.items() if name in rows and rows[name].is_better]
        for name in names
    }
    worse = {
        name: [s.name for s, rows in compared.items() if name in rows and rows[name].is_worse]
        for name in names
    }
    datasets = {
        data: _dataset([results for setting, results in found.items() if setting.data == data])
        for data in dict.fromkeys(setting.data for setting in found)
    }
    return {
        "default": default,
        "wins": better.get(default, []) if default else [],
        "losses": worse.get(default, []) if default else [],
        "settings": [setting.name for setting in compared],
        "gains": {name: round(value, 4) for name, value in gains.items()},
        "significant": {
            name: {"better": len(better[name]), "worse": len(worse[name])} for name in names
        },
        "ratio": {name: _ratio(name, datasets) for name in names},
        "datasets": datasets,
    }


def to_markdown(figures: Mapping[str, Any]) -> str:
    """One row per strategy."""
    datasets = figures["datasets"]
    lines = [
        f"| strategy | gain | better | worse | labels, of random's | {' | '.join(datasets)} |",
        f"|---|---|---|---|---|{'---|' * len(datasets)}",
    ]
    for name, gain in sorted(figures["gains"].items(), key=lambda row: -row[1]):
        significant = figures["significant"][name]
        ratio = figures["ratio"][name]
        cells = [
            f"{name} (oracle)" if name == ORACLE else name,
            f"{gain:+.3f}",
            str(significant["better"]),
            str(significant["worse"]),
            "-" if ratio is None else f"{ratio:.2f}",
            *(_figure(rows["aubc"].get(name)) for rows in datasets.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    randoms = " | ".join(_figure(rows["aubc"].get(RANDOM)) for rows in datasets.values())
    lines.append(f"| {RANDOM} | | | | 1.00 | {randoms} |")
    return "\n".join(lines)


def _dataset(of_set: Sequence[Results]) -> dict[str, Any]:
    """Figures of a set over its budgets and seeds."""
    names = list(dict.fromkeys(name for results in of_set for name in results.rounds))
    areas = [results.aubc() for results in of_set]
    labels = [results.labels_to_target() for results in of_set]
    return {
        "labels_to_95": {
            name: censored_median([v for one in labels for v in one.get(name, {}).values()])
            for name in names
        },
        "aubc": {
            name: round(
                statistics.fmean(
                    statistics.fmean(one[name].values()) for one in areas if name in one
                ),
                4,
            )
            for name in names
        },
        "full": round(statistics.fmean(dice for r in of_set for dice in r.reachable.values()), 4)
        if any(results.reachable for results in of_set)
        else None,
    }


def _ratio(name: str, datasets: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Median over the sets of labels to 95 %, over random's.

    A set in which random does not get there says nothing; one in which only random does counts as
    infinite.
    """
    ratios: list[float | None] = []
    for rows in datasets.values():
        ours, theirs = rows["labels_to_95"].get(name), rows["labels_to_95"].get(RANDOM)
        if theirs is not None:
            ratios.append(None if ours is None else ours / theirs)
    found = censored_median(ratios)
    return None if found is None else round(found, 3)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

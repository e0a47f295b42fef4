"""The figures of ``benchmarks.active``: which strategy gains most, where it wins and loses."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.replay.figures import band, censored_median, paired_p
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
        ``default`` (random itself where nothing gains), ``wins`` and ``losses`` (names of
        settings), ``overall`` (strategy -> mean difference of AUBC from random over all settings,
        with interval and p), ``gains`` (that mean alone), ``significant`` (strategy -> settings in
        which it is better, worse), ``ratio`` (strategy -> median over the sets of labels to 95 %
        over random's; None where half of them can't be told), ``datasets``, ``settings``.
    """
    compared = {
        setting: results.compared(results.aubc())
        for setting, results in found.items()
        if len(results.rounds.get(RANDOM, {})) > 1
    }
    names = list(dict.fromkeys(name for rows in compared.values() for name in rows))
    overall = {
        name: _overall(name, {setting: found[setting] for setting in compared}) for name in names
    }
    gains = {name: one["gain"] or 0.0 for name, one in overall.items()}
    live = [name for name in names if name != ORACLE]
    default = max(live, key=lambda name: gains[name], default=None)
    if default is not None and gains[default] <= 0:
        default = RANDOM
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
        "wins": better.get(default or "", []),
        "losses": worse.get(default or "", []),
        "settings": [setting.name for setting in compared],
        "gains": gains,
        "overall": overall,
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
        f"| strategy | gain | its 95 % interval | better | worse | labels, of random's | "
        f"{' | '.join(datasets)} |",
        f"|---|---|---|---|---|---|{'---|' * len(datasets)}",
    ]
    for name, gain in sorted(figures["gains"].items(), key=lambda row: -row[1]):
        significant = figures["significant"][name]
        ratio, overall = figures["ratio"][name], figures["overall"][name]
        cells = [
            f"{name} (oracle)" if name == ORACLE else name,
            f"{gain:+.3f}",
            _interval(overall),
            str(significant["better"]),
            str(significant["worse"]),
            "-" if ratio is None else f"{ratio:.2f}",
            *(_figure(rows["aubc"].get(name)) for rows in datasets.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    randoms = " | ".join(_figure(rows["aubc"].get(RANDOM)) for rows in datasets.values())
    lines.append(f"| {RANDOM} | | | | | 1.00 | {randoms} |")
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


def _overall(name: str, found: Mapping[Setting, Results]) -> dict[str, float | int | None]:
    """Mean gain with its interval and p, over sets and seeds.

    Budgets of one set and seed share their images and first labels, so together they are one value.
    """
    differences: dict[tuple[str, int], list[float]] = {}
    for setting, results in found.items():
        areas = results.aubc()
        ours, theirs = areas.get(name, {}), areas.get(RANDOM, {})
        for seed in ours.keys() & theirs.keys():
            differences.setdefault((setting.data, seed), []).append(ours[seed] - theirs[seed])
    values = [statistics.fmean(of_one) for of_one in differences.values()]
    if not values:
        return {"gain": None, "low": None, "high": None, "p": None, "n": 0}
    found_band = band(values)
    return {
        "gain": round(found_band.mean, 4),
        "low": None if found_band.low is None else round(found_band.low, 4),
        "high": None if found_band.high is None else round(found_band.high, 4),
        "p": round(paired_p(values, [0.0] * len(values)), 4),
        "n": len(values),
    }


def _interval(overall: Mapping[str, float | None]) -> str:
    low, high = overall["low"], overall["high"]
    return "" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


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

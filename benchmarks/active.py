"""Strategies against random, on whole replays: ``python -m benchmarks.active [--data DIR ...]``.

The loop of ``nnloop replay`` on labelled images: what a strategy asks for is labelled by a
simulated annotator, a committee is trained on all labels so far with the product's own training,
and measured on images that nobody else sees. All strategies get the same optimiser steps in every
training, few enough that the whole takes hours and not weeks: the line that is printed first says
how many.

A setting is a set and a budget (how many labels at first, how many in each round, how many
rounds). In each, strategies are compared with uniform random by the area under their curves, paired
by seed, t-test, corrected for all of them (Holm). ``default`` is the strategy with the greatest
mean gain over the settings; ``wins`` and ``losses`` are the settings in which it is significantly
better or worse. An oracle that knows the images' classes stands beside them and can't win.

Everything is kept in ``--results``, seed by seed, so that it can be cut off at any time and called
again; ``--seconds N`` ends after the replay that is under way by then. The figures are of what is
played to the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from backend.replay.figures import censored_median
from backend.replay.images.library import Library
from backend.replay.images.source import library_of_folder
from backend.replay.networks.playing import play_replay
from backend.replay.options import ORACLE, RANDOM, ReplayOptions
from backend.replay.replay import Replay, alone_in
from backend.replay.report import write_report
from backend.replay.results import Results
from benchmarks.material import rare_carotid
from benchmarks.material.sets import GENERATED, SETS, SHARED, leave_out_missing
from benchmarks.material.shared_data import CLASS_NAMES, one_thread

LONG = True


STRATEGIES = (
    "lowest_score",
    "power_lowest_score",
    "class_stratified_entropy",
    "diverse",
    "typical",
)
"""Beside the baselines."""

SEEDS = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is labelled: at first, in each round, and how many trainings there are."""

    start: int
    batch: int
    rounds: int


BUDGETS = MappingProxyType(
    {"medium": Budget(8, 10, 4), "low": Budget(6, 5, 4), "high": Budget(16, 14, 4)}
)


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Plays what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    torch.set_num_threads(1)
    with alone_in(options.results):
        replays = _play_all(options)
    first = next(iter(replays.values())).options
    found = {setting: replay.results() for setting, replay in replays.items()}
    figures = summarise({setting: results for setting, results in found.items() if results.rounds})
    print(to_markdown(figures))
    n_played = sum(len(by) for results in found.values() for by in results.rounds.values())
    n_all = len(replays) * len(first.strategies) * len(options.seeds)
    print(
        json.dumps(
            {
                **figures,
                "cells": {"played": n_played, "all": n_all},
                "preset": first.preset,
                "image_side": first.image_side,
                "steps": first.steps,
                "seeds": options.seeds,
                "machine": f"{os.cpu_count()} cores, {platform.machine()}",
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def _play_all(options: argparse.Namespace) -> dict[Setting, Replay]:
    libraries = {data: _library(data, options) for data in options.sets}
    replays = {
        setting: _replay(setting, libraries[setting.data], options)
        for setting in settings(options.sets, options.budgets)
    }
    first = next(iter(replays.values())).options
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; preset {first.preset} at {first.image_side} pixels, "
        f"{first.steps} steps, {first.folds} networks; strategies {', '.join(first.strategies)}; "
        f"seeds {options.seeds}; {len(replays)} settings.",
        flush=True,
    )
    until = time.monotonic() + options.seconds
    for seed in options.seeds:
        for setting, replay in replays.items():
            if time.monotonic() < until:
                _play(setting, replay, seed)
    return replays


def _play(setting: Setting, replay: Replay, seed: int) -> None:
    started = time.monotonic()
    n = 0

    def say(line: str) -> None:
        nonlocal n
        n += 1
        print(f"{setting.name}: {line}", flush=True)

    play_replay(replay, say, only_seed=seed)
    if n:
        write_report(replay)
        print(f"{setting.name}: {time.monotonic() - started:.0f} s for {n} lines", flush=True)


def _replay(setting: Setting, library: Library, options: argparse.Namespace) -> Replay:
    budget = BUDGETS[setting.budget]
    rules = ReplayOptions(
        strategies=tuple(options.strategies),
        seeds=max(options.seeds) + 1,
        start=budget.start,
        batch=budget.batch,
        rounds=budget.rounds,
        preset=options.preset,
        steps=options.steps,
        image_side=options.image_side,
    )
    return Replay(options.results / setting.data, library, rules)


def _library(data: str, options: argparse.Namespace) -> Library:
    root = options.results / data
    folder, classes = options.data / data, CLASS_NAMES.get(data, ())
    if data == GENERATED:
        folder, classes = options.results / f"{data}-images", rare_carotid.CLASS_NAMES
        rare_carotid.write_folder(folder)
    return library_of_folder(folder, root, classes=classes)


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
        "full": round(statistics.fmean(f.dice for r in of_set for f in r.full.values()), 4)
        if any(results.full for results in of_set)
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


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    own = ReplayOptions()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.active", description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(SEEDS)))
    parser.add_argument("--preset", default=own.preset)
    parser.add_argument("--steps", type=int, default=own.steps)
    parser.add_argument("--image-side", type=int, default=own.image_side)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="about how long")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("bench-results") / "active",
        help="folder of everything that was played; goes on from there",
    )
    options = parser.parse_args(arguments)
    for name in leave_out_missing(options):
        print(f"Left out: {name}, there is no folder {options.data / name}.")
    return options


if __name__ == "__main__":
    main()

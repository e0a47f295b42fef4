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

Everything is kept in ``--results``, training by training, so that it can be cut off at any time and
called again; what is played to its end is kept in ``--measured`` too, a file that goes with the
repository, so that another machine goes on from there. ``--seconds N`` ends after the replay that
is under way by then. The figures are of what is played to the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from backend.replay.networks.embed import embed
from backend.replay.networks.playing import play_replay
from backend.replay.options import ReplayOptions
from backend.replay.replay import Replay
from backend.replay.report import write_report
from benchmarks.active.figures import Setting, settings, summarise, to_markdown
from benchmarks.active.kept import keep, restore
from benchmarks.material import rare_carotid
from benchmarks.material.loops import library_of, parsed, parser_of, rules_of
from benchmarks.material.measured import Measured
from benchmarks.material.sets import SETS
from benchmarks.material.shared_data import one_thread
from converters.bookkeeping.alone import alone_in

LONG = True

STRATEGIES = ("lowest_score", "class_stratified_entropy", "diverse")
"""Beside the baselines."""

RULES = ReplayOptions(seeds=4, steps=200, image_side=96, folds=2)
"""Seeds, and of every training its steps, image side and networks: 600 trainings take 6 hours of
one core and more with these."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is labelled: at first, in each round, and how many trainings there are."""

    start: int
    batch: int
    rounds: int


BUDGETS = MappingProxyType(
    {"medium": Budget(8, 12, 3), "low": Budget(6, 6, 3), "high": Budget(16, 20, 3)}
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Plays what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    torch.set_num_threads(1)
    with alone_in(options.results, "replay"):
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
                "folds": first.folds,
                "steps": first.steps,
                "seeds": options.seeds,
                "machine": f"{os.cpu_count()} cores, {platform.machine()}",
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def _play_all(options: argparse.Namespace) -> dict[Setting, Replay]:
    replays = _replays(options)
    first = next(iter(replays.values())).options
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; preset {first.preset} at {first.image_side} pixels, "
        f"{first.steps} steps, {first.folds} networks; strategies {', '.join(first.strategies)}; "
        f"seeds {options.seeds}; {len(replays)} settings.",
        flush=True,
    )
    measured = Measured(options.measured)
    for setting, replay in replays.items():
        # Before anything is looked up: courses depend on there being embeddings.
        embed(replay.library, replay.root)
        restore(setting, replay, measured)
        keep(setting, replay, measured)
    until = time.monotonic() + options.seconds
    for seed in options.seeds:
        for setting, replay in replays.items():
            if time.monotonic() < until:
                _play(setting, replay, seed)
                keep(setting, replay, measured)
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


def _replays(options: argparse.Namespace) -> dict[Setting, Replay]:
    generated = rare_carotid.write_folder, rare_carotid.CLASS_NAMES
    libraries = {data: library_of(data, options, generated) for data in options.sets}
    found = {}
    for setting in settings(options.sets, options.budgets):
        budget = BUDGETS[setting.budget]
        rules = rules_of(
            options,
            start=budget.start,
            batch=budget.batch,
            rounds=budget.rounds,
            strategies=options.strategies,
        )
        root = options.results / setting.data
        found[setting] = Replay(root, libraries[setting.data], rules)
    return found


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("active", __doc__, SETS, RULES)
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()

"""How often the gate errs in whole histories: ``python -m benchmarks.gate [--loops N]``.

A loop is a first version that serves and one challenger after the other, each judged by the gate's
own rule (``backend.pipeline.gate.verdict.judge``) against whatever serves. As in the product the
Dice of the version that serves stay what they were when they were measured: only cases that were
labelled since are predicted anew. Labels come between two runs (a fifth of the first ones, at least
2), or stay the same.

A version's Dice of a case is its quality, plus how hard the case is for everybody, plus what
nobody can foretell (drawn once for each version, case and class). Differences of two versions vary
by ``--spread`` from case to case, a twelfth of a Dice by default: of the order that the public sets
of docs/benchmarks.md show between two trainings. No network is trained.

``--rule fresh`` is another rule, which nnloop does not follow: once 5 cases or more were labelled
after the version that serves was measured, these alone are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.pipeline.gate.verdict import DicePerCase, judge

LONG = True

CLASSES = ("first", "second")
MARGIN = 0.01
"""The default of the setting ``gate_margin``."""

RUNS = 12
IN_A_ROW = 5
ENOUGH = 5
RESAMPLES = 1_000
"""Of the bootstrap; the gate takes 10,000, which changes a verdict in 1 of some 100 loops."""

Figures = npt.NDArray[np.float64]
"""(case, class), in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Who challenges, and on what.

    Attributes:
        cases: Labelled when the first version is trained.
        grows: Whether labels come between two runs.
        difference: True Dice of every challenger minus that of the first version.
        spread: Standard deviation of the difference of two versions on one case and class.
        only_fresh: Compare on cases labelled since the version that serves was measured, once
            there are ``ENOUGH``.
    """

    cases: int
    grows: bool
    difference: float
    spread: float
    only_fresh: bool = False

    @property
    def new_cases(self) -> int:
        """Labels that come between two runs."""
        return max(2, self.cases // 5) if self.grows else 0


@dataclass(frozen=True, slots=True)
class Played:
    """A loop as it went: which challengers were promoted, the first one first."""

    promoted: tuple[bool, ...]

    @property
    def longest_wait(self) -> int:
        """The most refusals in a row."""
        longest = now = 0
        for is_promoted in self.promoted:
            now = 0 if is_promoted else now + 1
            longest = max(longest, now)
        return longest


def play(loop: Loop, rng: np.random.Generator) -> Played:
    """Plays a loop of ``RUNS`` challengers."""
    hardness = rng.normal(0.75, 0.1, loop.cases)
    serving = _measured(hardness, 0.0, loop.spread, rng)
    quality, n_measured = 0.0, loop.cases
    promoted = []
    for _ in range(RUNS):
        more = rng.normal(0.75, 0.1, loop.new_cases)
        hardness = np.append(hardness, more)
        serving = np.concatenate([serving, _measured(more, quality, loop.spread, rng)])
        challenger = _measured(hardness, loop.difference, loop.spread, rng)
        is_fresh = loop.only_fresh and len(hardness) - n_measured >= ENOUGH
        part = slice(n_measured if is_fresh else 0, None)
        verdict = judge(_dice(challenger[part]), _dice(serving[part]), MARGIN, resamples=RESAMPLES)
        promoted.append(verdict.is_promoted)
        if verdict.is_promoted:
            serving, quality, n_measured = challenger, loop.difference, len(hardness)
    return Played(tuple(promoted))


def rates(loop: Loop, played: Sequence[Played]) -> dict[str, float]:
    """Shares of loops, in [0, 1].

    Returns:
        ``refused`` (of all verdicts on the first challenger), ``refused_5`` (loops with 5 refusals
        in a row, of any 12), ``first_5_refused`` (of the first 5: for a better challenger, the loop
        that waits) and ``serves_5`` (loops in which one of the first 5 challengers came to serve).
    """
    first = [one.promoted[:IN_A_ROW] for one in played]
    return {
        "refused": _share([not one.promoted[0] for one in played]),
        "refused_5": _share([one.longest_wait >= IN_A_ROW for one in played]),
        "first_5_refused": _share([not any(one) for one in first]),
        "serves_5": _share([any(one) for one in first]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Plays all loops, and prints the rates as one JSON line."""
    options = _parse(arguments)
    started = time.monotonic()
    table: dict[str, dict[str, float]] = {}
    for grows in (False, True):
        for cases in options.cases:
            for difference in options.differences:
                loop = Loop(cases, grows, difference, options.spread, options.rule == "fresh")
                # Each row has draws of its own: another list of rows changes none of them.
                key = [options.seed, int(grows), cases, round(1000 * difference) + 1000]
                rng = np.random.default_rng(key)
                found = rates(loop, [play(loop, rng) for _ in range(options.loops)])
                name = f"{cases} cases, {'growing' if grows else 'the same'}, {difference:+.2f}"
                table[name] = found
                print(name, found, flush=True)
    figures = {
        "rates": table,
        "loops": options.loops,
        "rule": options.rule,
        "spread": options.spread,
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))


def _measured(
    hardness: npt.NDArray[np.float64], quality: float, spread: float, rng: np.random.Generator
) -> Figures:
    noise = rng.normal(0.0, spread / np.sqrt(2.0), (len(hardness), len(CLASSES)))
    return np.clip(hardness[:, None] + quality + noise, 0.0, 1.0)


def _dice(figures: Figures) -> DicePerCase:
    return {
        f"{number:04d}": dict(zip(CLASSES, map(float, row), strict=True))
        for number, row in enumerate(figures)
    }


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 3)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--loops", type=int, default=200, help="of each kind")
    parser.add_argument("--cases", type=int, nargs="+", default=[5, 12, 30])
    parser.add_argument(
        "--differences", type=float, nargs="+", default=[0.0, -0.02, -0.05, 0.02, 0.05]
    )
    parser.add_argument("--spread", type=float, default=0.08)
    parser.add_argument("--rule", choices=("gate", "fresh"), default="gate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.loops < 1:
        parser.error(f"--loops must be at least 1, got {options.loops}")
    return options


if __name__ == "__main__":
    main()

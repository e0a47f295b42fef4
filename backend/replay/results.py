"""What a replay came to: courses of all strategies and seeds as curves and figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from backend.replay.figures import (
    SHARE_OF_FULL,
    Band,
    Comparison,
    against,
    aubc,
    band,
    censored_median,
    penalties,
    reached_at,
)
from backend.replay.options import RANDOM
from backend.replay.rounds import Course, Round, Table, known_quality
from training.evaluation import ClassDice


@dataclass(frozen=True, slots=True)
class Full:
    """What training on all labels reaches, with the steps of every other training: a document."""

    n_labelled: int
    dice: float | None
    dice_per_class: ClassDice = field(default_factory=dict)

    @property
    def quality(self) -> float | None:
        """``dice``, None where it is no figure."""
        return known_quality(self.dice, self.dice_per_class)


@dataclass(frozen=True)
class Results:
    """The courses of a replay that are on disk, and their figures.

    A strategy's figures are over its seeds that are played to the end, and of which every round
    could be measured: what says nothing is neither good nor bad.

    Attributes:
        table: What was played on.
        courses: In any state.
        full: Seed -> what all labels reach.
    """

    table: Table
    courses: tuple[Course, ...]
    full: Mapping[int, Full]

    @cached_property
    def rounds(self) -> dict[str, dict[int, tuple[Round, ...]]]:
        """Strategy -> seed -> its rounds, of courses played to the end that could be measured."""
        found: dict[str, dict[int, tuple[Round, ...]]] = {}
        for course in self.courses:
            if self.table.is_whole(course) and not _is_unmeasured(course):
                found.setdefault(course.strategy, {})[course.seed] = course.rounds
        return {name: found[name] for name in self.table.options.strategies if name in found}

    @cached_property
    def n_unmeasured(self) -> int:
        """Courses that were played to the end, and can't be measured in every round."""
        return sum(self.table.is_whole(one) and _is_unmeasured(one) for one in self.courses)

    @cached_property
    def reachable(self) -> dict[int, float]:
        """Seed -> Dice with all labels, in [0, 1]; without seeds of which nobody knows it."""
        known = {seed: full.quality for seed, full in sorted(self.full.items())}
        return {seed: dice for seed, dice in known.items() if dice is not None}

    @cached_property
    def targets(self) -> dict[int, float]:
        """Seed -> the Dice that labels and hours are counted to.

        Without seeds in which all labels reach nothing: whatever was done would be enough there.
        """
        return {seed: SHARE_OF_FULL * dice for seed, dice in self.reachable.items() if dice > 0}

    def aubc(self) -> dict[str, dict[int, float]]:
        """Strategy -> seed -> normalised area under Dice against labels."""
        return self._each(lambda rounds, _: aubc(_labels(rounds), _dice(rounds)))

    def labels_to_target(self) -> dict[str, dict[int, float | None]]:
        """Strategy -> seed -> labels to 95 % of the full-data Dice of that seed; None: not reached.

        Of those that begin there, the labels of the start: fewer may do. Seeds without such an aim
        are missing.
        """
        return self._each(
            lambda rounds, seed: reached_at(_labels(rounds), _dice(rounds), self.targets[seed]),
            needs_aim=True,
        )

    def hours_to_target(self) -> dict[str, dict[int, float | None]]:
        """Likewise hours of work, by the simulated annotator."""
        return self._each(
            lambda rounds, seed: reached_at(_hours(rounds), _dice(rounds), self.targets[seed]),
            needs_aim=True,
        )

    def dice_at(self, strategy: str, number: int) -> dict[int, float]:
        """Seed -> Dice of a round, counted from 0, or from -1 backwards."""
        return {
            seed: dice
            for seed, rounds in self.rounds[strategy].items()
            if (dice := rounds[number].quality) is not None
        }

    def is_reached_at_once(self, strategy: str) -> bool:
        """Whether half of the seeds or more reach the aim with the start: fewer might do."""
        found = [
            rounds[0].quality is not None and rounds[0].quality >= self.targets[seed]
            for seed, rounds in self.rounds.get(strategy, {}).items()
            if seed in self.targets
        ]
        return bool(found) and 2 * sum(found) >= len(found)

    def labels_for_randoms_last(self, strategy: str) -> tuple[float, float] | None:
        """(its labels, random's) until the Dice that random ends with.

        Of the mean curves over the seeds that both have. None where it does not get there, or
        begins there.
        """
        ours, theirs = self.rounds.get(strategy, {}), self.rounds.get(RANDOM, {})
        seeds = sorted(ours.keys() & theirs.keys())
        if not seeds:
            return None
        x, y = _mean_curve([ours[seed] for seed in seeds])
        x_random, y_random = _mean_curve([theirs[seed] for seed in seeds])
        needed, randoms = (
            reached_at(x, y, y_random[-1]),
            reached_at(x_random, y_random, y_random[-1]),
        )
        if needed is None or randoms is None or y[0] >= y_random[-1]:
            return None
        return needed, randoms

    def compared(self, values: Mapping[str, Mapping[int, float]]) -> dict[str, Comparison]:
        """Each strategy's figure with that of random, over the seeds of both."""
        return against(values, RANDOM)

    def penalties(self) -> dict[str, dict[str, float | None]]:
        """The penalty matrix of this setting."""
        return penalties(
            {
                name: {seed: _dice(rounds) for seed, rounds in by_seed.items()}
                for name, by_seed in self.rounds.items()
            }
        )

    def curve(self, strategy: str) -> list[tuple[float, Band]]:
        """(mean labels, Dice with its band over the seeds) of each round."""
        courses = list(self.rounds[strategy].values())
        return [
            (
                sum(one.n_labelled for one in column) / len(column),
                band(_dice(column)),
            )
            for column in zip(*_equally_long(courses), strict=True)
        ]

    def effort_curve(self, strategy: str) -> list[tuple[float, Band]]:
        """(mean hours of work, Dice with its band over the seeds) of each round."""
        courses = list(self.rounds[strategy].values())
        hours = [_hours(rounds) for rounds in _equally_long(courses)]
        return [
            (sum(column) / len(column), point[1])
            for column, point in zip(zip(*hours, strict=True), self.curve(strategy), strict=True)
        ]

    def saved(self, strategy: str) -> float | None:
        """Share of the work after the start that predictions saved; None without any."""
        later = [one for rounds in self.rounds[strategy].values() for one in rounds[1:]]
        scratch = sum(one.scratch_s for one in later)
        return 1.0 - sum(one.seconds for one in later) / scratch if scratch else None

    def to_json(self) -> dict[str, Any]:
        """All figures as one JSON value."""
        areas = self.aubc()
        labels, hours = self.labels_to_target(), self.hours_to_target()
        compared = self.compared(areas)
        table = self.table
        return {
            "options": table.options.rules() | {"seeds": table.options.seeds},
            "images": {"pool": len(table.pool), "test": len(table.test)},
            "full": {
                str(seed): {"labels": full.n_labelled, "dice": _short(full.quality)}
                for seed, full in sorted(self.full.items())
            },
            "strategies": {
                name: {
                    "seeds": sorted(self.rounds[name]),
                    "aubc": round(band(list(areas[name].values())).mean, 4),
                    "aubc_per_seed": _rounded(areas[name]),
                    "labels_to_95": _censored(labels.get(name, {})),
                    "labels_to_95_per_seed": _rounded(labels.get(name, {})),
                    "hours_to_95": _censored(hours.get(name, {})),
                    "hours_to_95_per_seed": _rounded(hours.get(name, {})),
                    "effort_saved": _short(self.saved(name)),
                    "against_random": _comparison(compared.get(name)),
                    "curve": [
                        {"labels": x, "dice": _short(b.mean), "low": _short(b.low)}
                        | {"high": _short(b.high)}
                        for x, b in self.curve(name)
                    ],
                    "acting": sorted({o.acting for rs in self.rounds[name].values() for o in rs}),
                }
                for name in self.rounds
            },
            "penalties": self.penalties(),
        }

    def _each(self, figure: Any, *, needs_aim: bool = False) -> dict[str, dict[int, Any]]:
        return {
            name: {
                seed: figure(rounds, seed)
                for seed, rounds in by_seed.items()
                if not needs_aim or seed in self.targets
            }
            for name, by_seed in self.rounds.items()
        }


def _labels(rounds: Sequence[Round]) -> list[float]:
    return [float(one.n_labelled) for one in rounds]


def _dice(rounds: Sequence[Round]) -> list[float]:
    """Of rounds that could be measured."""
    return [one.quality for one in rounds if one.quality is not None]


def _is_unmeasured(course: Course) -> bool:
    return any(one.quality is None for one in course.rounds)


def _mean_curve(courses: Sequence[tuple[Round, ...]]) -> tuple[list[float], list[float]]:
    """(labels, Dice) of each round, means over courses."""
    columns = list(zip(*_equally_long(courses), strict=True))
    return [fmean(_labels(one)) for one in columns], [fmean(_dice(one)) for one in columns]


def _hours(rounds: Sequence[Round]) -> list[float]:
    """Of all work until each round's training."""
    return [seconds / 3600 for seconds in itertools.accumulate(one.seconds for one in rounds)]


def _equally_long(courses: Sequence[tuple[Round, ...]]) -> list[tuple[Round, ...]]:
    """A course ends earlier where the pool is used up: as many rounds as all have."""
    n = min(len(rounds) for rounds in courses)
    return [rounds[:n] for rounds in courses]


def _censored(values: Mapping[int, float | None]) -> float | None:
    return _short(censored_median(list(values.values())))


def _rounded(values: Mapping[int, float | None]) -> dict[str, float | None]:
    return {str(seed): _short(value) for seed, value in sorted(values.items())}


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _comparison(one: Comparison | None) -> dict[str, float | int] | None:
    if one is None:
        return None
    return {
        "difference": round(one.difference, 4),
        "p": round(one.p, 5),
        "p_holm": round(one.p_holm, 5),
        "n": one.n,
    }

"""What labelling cost people, and what predictions saved them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter

import numpy as np
from scipy.special import bdtrc

from converters.label_studio.corrections import Change, RegionChange

LOOK_S, POINT_S, REGION_S = 4.0, 1.6, 2.0
"""Seconds to look at an image, to set or move a point, to choose a region or a class: assumed,
until a project's own annotations say otherwise. An outline of 25 points takes 46 s by them; those
of COCO took 79 s each (Lin et al. 2014, arXiv:1405.0312)."""

LONGEST_S = 1_800.0
"""Of one annotation. Longer ones were left open meanwhile."""

FEWEST = 5
"""Annotations of which a figure about time is made, at least."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a person did in one annotation.

    Attributes:
        n_kept: Predicted regions submitted as they were.
        n_edited: Predicted regions with another outline or class.
        n_relabelled: Those of them with another class.
        n_removed: Predicted regions that are gone.
        n_drawn: Regions a person drew.
        points_moved: Of edited regions.
        points_added: Of edited regions.
        points_removed: Of edited regions.
        points_drawn: Of drawn regions.
    """

    n_kept: int = 0
    n_edited: int = 0
    n_relabelled: int = 0
    n_removed: int = 0
    n_drawn: int = 0
    points_moved: int = 0
    points_added: int = 0
    points_removed: int = 0
    points_drawn: int = 0

    @classmethod
    def of(cls, changes: Iterable[RegionChange]) -> Effort:
        """Sums up the changes of an annotation, or of one class in it."""
        n: Counter[str] = Counter()
        for one in changes:
            n[f"n_{one.change}"] += 1
            n["n_relabelled"] += one.is_relabelled
            if one.change is Change.DRAWN:
                n["points_drawn"] += one.n_added
            else:
                n["points_moved"] += one.n_moved
                n["points_added"] += one.n_added
                n["points_removed"] += one.n_removed
        return cls(**n)

    def __add__(self, other: Effort) -> Effort:
        """Both together."""
        return Effort.sum_of((self, other))

    @classmethod
    def sum_of(cls, efforts: Iterable[Effort]) -> Effort:
        """All of them together."""
        return cls(*map(sum, zip(*map(_counts_of, efforts), strict=True)))

    @property
    def is_unchanged(self) -> bool:
        """Whether the prediction was submitted as it was; also an empty one that stayed empty."""
        return not (self.n_edited or self.n_removed or self.n_drawn)

    @property
    def actions(self) -> int:
        """Clicks and drags: points set, moved or taken away, regions removed, classes changed."""
        points = self.points_moved + self.points_added + self.points_removed + self.points_drawn
        return points + self.n_removed + self.n_relabelled


_counts_of = attrgetter(*(one.name for one in fields(Effort)))


def by_class(changes: Iterable[RegionChange]) -> dict[str, Effort]:
    """The effort of an annotation by the class that its regions ended with."""
    found: dict[str, list[RegionChange]] = {}
    for one in changes:
        found.setdefault(one.label, []).append(one)
    return {label: Effort.of(of_label) for label, of_label in found.items()}


@dataclass(frozen=True, slots=True)
class TimePerAction:
    """Seconds that labelling takes, for what no clock has seen.

    Attributes:
        look_s: An image, before anything is done.
        point_s: A point that is set, moved or taken away.
        region_s: A region that is chosen, removed, or given a class.
        n: Annotations of the project that it was measured on; 0: assumed.
    """

    look_s: float = LOOK_S
    point_s: float = POINT_S
    region_s: float = REGION_S
    n: int = 0

    def seconds(self, effort: Effort) -> float:
        """How long an annotation with this effort takes."""
        points = (
            effort.points_moved + effort.points_added + effort.points_removed + effort.points_drawn
        )
        regions = effort.n_edited + effort.n_removed + effort.n_drawn + effort.n_relabelled
        return self.look_s + self.point_s * points + self.region_s * regions

    @classmethod
    def measured(cls, drawn: Sequence[tuple[Effort, float]]) -> TimePerAction:
        """The assumed times, all longer or shorter as the project's people are.

        Args:
            drawn: Annotations drawn from nothing, with the seconds Label Studio counted. Those of
                0 s or above ``LONGEST_S`` are left out.

        Returns:
            The assumed times with fewer than ``FEWEST`` of them. One factor for all of them, the
            median: few annotations can't tell the three apart.
        """
        ratios = _ratios(drawn)
        if len(ratios) < FEWEST:
            return cls()
        factor = statistics.median(ratios)
        return cls(LOOK_S * factor, POINT_S * factor, REGION_S * factor, len(ratios))


def _ratios(drawn: Sequence[tuple[Effort, float]]) -> list[float]:
    """By how much each took longer than assumed; of those that tell it."""
    assumed = TimePerAction()
    return [
        seconds / assumed.seconds(effort)
        for effort, seconds in drawn
        if 0 < seconds <= LONGEST_S and effort.n_drawn
    ]


@dataclass(frozen=True, slots=True)
class Saved:
    """What predictions saved people, against drawing the same from nothing.

    Attributes:
        n: Annotations that began with a prediction.
        spent_s: Seconds they took: Label Studio's where it counted, else by ``TimePerAction``.
        from_scratch_s: Seconds that drawing the same from nothing takes by ``TimePerAction``.
        n_timed: Annotations of which Label Studio counted the seconds.
    """

    n: int
    spent_s: float
    from_scratch_s: float
    n_timed: int

    @property
    def share(self) -> float | None:
        """Of the time from nothing, in (-inf, 1]; None without an annotation."""
        return 1.0 - self.spent_s / self.from_scratch_s if self.from_scratch_s > 0 else None


@dataclass(frozen=True, slots=True)
class Corrected:
    """One annotation that began with a prediction.

    Attributes:
        effort: What was done.
        n_points: Points of all that was submitted, by class or in all.
        n_regions: Regions submitted.
        lead_time_s: Label Studio's count; None without.
        annotator: Label Studio's id of who submitted it.
        version: Whose prediction.
        quality: Dice of the prediction with what was submitted, in [0, 1]; None unknown.
        score: What the version expected it to be; None unknown.
        classes: Effort by class.
    """

    effort: Effort
    n_points: int
    n_regions: int
    lead_time_s: float | None = None
    annotator: int | None = None
    version: str = ""
    quality: float | None = None
    score: float | None = None
    classes: Mapping[str, Effort] = field(default_factory=dict)

    @property
    def clock_s(self) -> float | None:
        """Seconds that can be believed: of one that was left open meanwhile, none."""
        seconds = self.lead_time_s
        return seconds if seconds is not None and 0 < seconds <= LONGEST_S else None

    def from_scratch(self) -> Effort:
        """The effort of drawing what was submitted from nothing."""
        return Effort(n_drawn=self.n_regions, points_drawn=self.n_points)


def saved(corrected: Sequence[Corrected], times: TimePerAction) -> Saved:
    """What predictions saved; negative where correcting took longer than drawing.

    Args:
        corrected: Annotations that began with a prediction.
        times: Of the project.
    """
    spent = from_scratch = 0.0
    n_timed = 0
    for one in corrected:
        clock = one.clock_s
        n_timed += clock is not None
        spent += times.seconds(one.effort) if clock is None else clock
        from_scratch += times.seconds(one.from_scratch())
    return Saved(len(corrected), spent, from_scratch, n_timed)


_RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class SavedInterval:
    """What was saved lies in it 9 times of 10.

    Attributes:
        low_s: Seconds.
        high_s: Seconds; may be above what drawing takes by the best estimate, which is as unsure.
        low_share: Of the time from nothing, in (-inf, 1].
        high_share: The same.
    """

    low_s: float
    high_s: float
    low_share: float
    high_share: float


def saved_interval(
    corrected: Sequence[Corrected], drawn: Sequence[tuple[Effort, float]], seed: int = 0
) -> SavedInterval | None:
    """Where what was saved lies 9 times of 10, by resampling both sides.

    Args:
        corrected: Annotations that began with a prediction.
        drawn: As for ``TimePerAction.measured``.
        seed: Of the resampling.

    Returns:
        None with fewer than ``FEWEST`` of either: nothing was measured.
    """
    ratios = np.array(_ratios(drawn))
    if len(corrected) < FEWEST or len(ratios) < FEWEST:
        return None
    assumed = TimePerAction()
    clock = np.array([one.clock_s or 0.0 for one in corrected])
    scratch = np.array([assumed.seconds(one.from_scratch()) for one in corrected])
    unclocked = np.array(
        [assumed.seconds(one.effort) if one.clock_s is None else 0.0 for one in corrected]
    )
    rng = np.random.default_rng(seed)
    found, shares = [], []
    for _ in range(_RESAMPLES):
        some = rng.integers(0, len(corrected), len(corrected))
        factor = np.median(ratios[rng.integers(0, len(ratios), len(ratios))])
        by_scratch = float(factor * scratch[some].sum())
        found.append(by_scratch - float(factor * unclocked[some].sum() + clock[some].sum()))
        shares.append(found[-1] / by_scratch if by_scratch else 0.0)
    low, high = np.quantile(found, (0.05, 0.95)).tolist()
    low_share, high_share = np.quantile(shares, (0.05, 0.95)).tolist()
    return SavedInterval(low, high, low_share, high_share)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How often somebody submits predictions unchanged, beside how often that was to be expected.

    Attributes:
        n: Annotations.
        n_unchanged: Of them, as predicted.
        expected: Mean of what was expected of them, in [0, 1].
        p: Probability of so many or more if ``expected`` were true (binomial, one-sided).
    """

    n: int
    n_unchanged: int
    expected: float
    p: float

    @property
    def is_suspicious(self) -> bool:
        """Whether predictions are probably waved through."""
        return self.n >= FEWEST and self.p < SUSPICIOUS_P


SUSPICIOUS_P = 0.01

_Z = 1.645
"""Of a bound that is too low once in twenty times."""


def at_most(n_good: int, n: int) -> float:
    """The highest chance that ``n_good`` of ``n`` allow, in [0, 1] (Wilson's bound, 95 %).

    What is expected of people is taken at its highest, so that a few predictions of others accuse
    nobody. 1 without any.
    """
    if n <= 0:
        return 1.0
    share = n_good / n
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return min(1.0, (centre + spread) / (1 + _Z**2 / n))


GOOD_ENOUGH = 0.95
"""Dice above which a careful person may leave a prediction as it is."""


def acceptance(expected: Sequence[float], is_unchanged: Sequence[bool]) -> Acceptance:
    """Whether more predictions were left unchanged than their quality allows.

    Args:
        expected: Of each annotation the chance, in [0, 1], that its prediction is good enough
            (Dice ``GOOD_ENOUGH`` or more): measured on other people's corrections, or on held-out
            cases. The person's own can't tell: what is waved through has Dice 1.
        is_unchanged: Whether it was submitted as predicted.

    Raises:
        ValueError: The two are not of one length.
    """
    if len(expected) != len(is_unchanged):
        raise ValueError(
            f"{len(expected)} chances and {len(is_unchanged)} annotations: one for each is needed."
        )
    n, k = len(expected), sum(is_unchanged)
    chance = min(max(statistics.fmean(expected), 0.0), 1.0) if expected else 0.0
    p = float(bdtrc(k - 1, n, chance)) if k else 1.0
    return Acceptance(n, k, chance, p)

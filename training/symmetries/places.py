"""Place: where a class lies in an image, and whether classes keep to their sides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

MIN_SHARE = 0.9
"""Share of the groups that must say the same. One of ten may be drawn wrongly; with more exceptions
the side is not what makes the class."""

MAX_P = 0.01
"""Chance that sides which mean nothing look as if they did (exact binomial test, two-sided): it
takes 8 groups that all say the same, or 14 with one exception."""

MIN_DISTANCE = 1.0
"""Least median distance of two centres, in mean standard deviations of their pixels along the axis:
two equal bars that touch are 3.5 apart, a ring and what it encloses 0."""

MIN_TURN = math.log(2.0)
"""Least median difference of log(height / width) of two classes: one is twice as upright."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pixels of a class lie. Pairs are (y, x), in pixels.

    ``centre`` is their mean from the image's middle, ``spread`` their standard deviation, at least
    that of one pixel.
    """

    centre: tuple[float, float]
    spread: tuple[float, float]

    @property
    def uprightness(self) -> float:
        """log(height / width); 0 for a disc."""
        return math.log(self.spread[0] / self.spread[1])


Places = Mapping[int, Place]
"""Class integer -> its place, of the classes an image shows."""


def places_of(label_map: npt.NDArray[np.uint8]) -> dict[int, Place]:
    """The place of every class of a label map, (height, width) uint8, 0 = background."""
    found = {}
    for k in np.unique(label_map):
        if k:
            rows, columns = np.nonzero(label_map == k)
            centre = [
                float(points.mean()) - (side - 1) / 2
                for points, side in zip((rows, columns), label_map.shape, strict=True)
            ]
            spread = [math.hypot(float(points.std()), 12**-0.5) for points in (rows, columns)]
            found[int(k)] = Place((centre[0], centre[1]), (spread[0], spread[1]))
    return found


@dataclass(frozen=True, slots=True)
class Order:
    """How surely something has a sign: side, or which of two is more upright.

    Attributes:
        sign: 1 or -1, what most groups say.
        n_groups: Groups of images that say anything.
        n_agree: Those that say ``sign``.
        distance: Median size of what is measured.
    """

    sign: int
    n_groups: int
    n_agree: int
    distance: float

    def is_sure(self, least: float) -> bool:
        """Whether the sign is no chance and the distance at least ``least``."""
        return (
            self.distance >= least
            and self.n_agree >= MIN_SHARE * self.n_groups
            and binomtest(self.n_agree, self.n_groups).pvalue <= MAX_P
        )

    def may_be(self, least: float) -> bool:
        """Whether there are too few groups to be sure, and none says otherwise."""
        return (
            self.n_agree == self.n_groups
            and self.distance >= least
            and binomtest(self.n_agree, self.n_groups).pvalue > MAX_P
        )


def order_of(values: Iterable[tuple[str, float]]) -> Order | None:
    """The order that measured values give, each with its group; None without any.

    A group (patient, video) speaks once, by the median of its images: neighbouring frames say
    nothing new.
    """
    by_group: dict[str, list[float]] = {}
    for group, value in values:
        by_group.setdefault(group, []).append(value)
    spoken = [value for values_ in by_group.values() if (value := median(values_)) != 0.0]
    if not spoken:
        return None
    n_above = sum(1 for value in spoken if value > 0)
    sign = 1 if 2 * n_above >= len(spoken) else -1
    n_agree = n_above if sign == 1 else len(spoken) - n_above
    return Order(sign, len(spoken), n_agree, median(abs(value) for value in spoken))


def apart(one: Place, other: Place, axis: int) -> float:
    """Signed distance of two centres along an axis, in mean spreads."""
    return (one.centre[axis] - other.centre[axis]) / ((one.spread[axis] + other.spread[axis]) / 2)


def from_middle(place: Place, axis: int) -> float:
    """Signed distance of a centre from the image's middle along an axis, in spreads.

    Compares with ``apart``: its mirror image lies twice as far.
    """
    return 2 * place.centre[axis] / place.spread[axis]


def pair_order(
    cases: Sequence[tuple[str, Places]], one: int, other: int, axis: int
) -> Order | None:
    """On which side of another class a class lies, over the images that show both."""
    return order_of(
        (group, apart(places[one], places[other], axis))
        for group, places in cases
        if one in places and other in places
    )


def frame_order(cases: Sequence[tuple[str, Places]], k: int, axis: int) -> Order | None:
    """On which side of the image's middle a class lies."""
    return order_of((group, from_middle(places[k], axis)) for group, places in cases if k in places)


def turn_order(cases: Sequence[tuple[str, Places]], one: int, other: int) -> Order | None:
    """Which of two classes is more upright, over the images that show both."""
    return order_of(
        (group, places[one].uprightness - places[other].uprightness)
        for group, places in cases
        if one in places and other in places
    )

"""Decides from label maps and images which flips and turns leave the classes' meaning alone.

A flip does harm where a class has a double that looks alike and is known by its side: the other
lung, the other eye, the same tissue that nobody labels on that side. A network that is shown both
ways learns to guess. So two things are measured before training: does the class keep to its side
(``places``), and if so, can its pixels be told from its double's by looks (``look_alike``)?
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.hashing import content_hash
from domain.text import counted
from training.symmetries.look_alike import (
    TOLD_APART,
    Features,
    Sight,
    features_of,
    points_in,
    shrunk,
    told_apart,
)
from training.symmetries.named_pairs import named_pairs
from training.symmetries.places import (
    MIN_DISTANCE,
    MIN_TURN,
    Order,
    Places,
    frame_order,
    pair_order,
    places_of,
    turn_order,
)
from training.symmetries.symmetries import (
    AXES,
    FULL_TURN,
    SMALL_TURN,
    MirrorTraining,
    Swap,
    Symmetries,
    told,
)

MAX_CASES = 64
"""Cases looked at, by hashes of their ids: more make nothing surer, and 64 take about a second."""

MAX_LOOKS = 24
"""Comparisons of looks, 1 to 2 s each. Doubles that are not looked at count as alike, and the
reason says so."""

MAX_FEATURE_BYTES = 256 * 2**20
"""Features kept from one comparison to the next: those of 64 grey images, and of 26 in colour. The
others are made anew, 50 ms each."""

PLACES_SIDE = 1024
"""Longest side, in pixels, at which places are measured: nothing thinner keeps to a side alone."""

_NOT_LOOKED_AT = (
    f"whether they look alike was not looked at: {MAX_LOOKS} other comparisons came first"
)
_FLIPPED = {0: "upside down", 1: "left to right"}
_SIDE = {(0, -1): "above", (0, 1): "below", (1, -1): "left of", (1, 1): "right of"}


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """One case to decide from; the files are read when asked for.

    ``label_map`` gives (height, width) uint8, ``image`` (height, width[, channel]) of its size.
    """

    case_id: str
    group: str
    label_map: Callable[[], npt.NDArray[np.uint8]]
    image: Callable[[], npt.NDArray[Any]]


def decide(
    cases: Sequence[LabelledCase],
    class_values: Sequence[str],
    word: MirrorTraining = "auto",
    beat: Callable[[], None] = lambda: None,
) -> Symmetries:
    """Which flips and turns training may use.

    - Classes that look alike and keep to their sides forbid the flip that would exchange them, and
      with it turns of more than ``SMALL_TURN`` degrees. Where they are a left and a right by name
      (``named_pairs``), the flip is used with their integers exchanged instead; not where they
      look different, as the ventricles of a heart do: exchanged, one would be taught as the other.
    - A class that keeps to one side of the frame, and looks like what is not labelled on the other
      side, likewise.
    - Two classes that look alike of which one is upright and the other lies, forbid turns.
    - Until there are enough groups to be sure, two classes count as keeping to their sides when
      every image says so.

    Args:
        cases: The training set; at most ``MAX_CASES`` of it are read.
        class_values: Class names in integer order, background left out.
        word: A person's word, which overrules.
        beat: Called all along, before whatever takes time; what it raises ends the call.
    """
    if word != "auto":
        return told(word)
    chosen = sorted(cases, key=lambda case: content_hash(case.case_id))[:MAX_CASES]
    return _Decision(chosen, class_values, beat).symmetries()


@dataclass(slots=True)
class _Decision:
    cases: Sequence[LabelledCase]
    class_values: Sequence[str]
    beat: Callable[[], None] = lambda: None
    places: list[tuple[str, Places]] = field(default_factory=list)
    maps: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    looks: dict[tuple[int, int | str], float] = field(default_factory=dict)
    features: dict[str, Features] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def symmetries(self) -> Symmetries:
        for case in self.cases:
            self.beat()
            label_map = case.label_map()
            # What is ignored may be anything, as what nobody labelled.
            label_map = np.where(label_map > len(self.class_values), np.uint8(0), label_map)
            places = places_of(shrunk(label_map, nearest=True, side=PLACES_SIDE))
            self.places.append((case.group, places))
            self.maps.append(shrunk(label_map, nearest=True))
        pairs = self._named()
        flips, swaps = [], list[Swap]()
        for axis in AXES:
            partners = pairs[axis]
            if self._is_free(axis, partners):
                flips.append(axis)
                swaps += [(axis, *pair) for pair in partners]
        for axis, one, other in swaps:
            self.reasons.append(
                f"Flipped {_FLIPPED[axis]} with {self._name(one)} and {self._name(other)} "
                "exchanged, for they are each other's other side."
            )
        is_turned = len(flips) == len(AXES) and not swaps and self._turns_are_free()
        if not is_turned:
            self.reasons.append(f"Turned by at most {SMALL_TURN:g} degrees.")
        return Symmetries(
            flips=tuple(flips),
            swaps=tuple(swaps),
            max_turn=FULL_TURN if is_turned else SMALL_TURN,
            reasons=tuple(self.reasons),
        )

    def _named(self) -> dict[int, list[tuple[int, int]]]:
        """Axis -> the left and right classes that lie along it, each pair on one axis."""
        found: dict[int, list[tuple[int, int]]] = {axis: [] for axis in AXES}
        for one, other in named_pairs(self.class_values):
            orders = {
                axis: order
                for axis in AXES
                if (order := self._order(one, other, axis)) is not None and _keeps(order)
            }
            if orders:
                found[max(orders, key=lambda axis: orders[axis].distance)].append((one, other))
        return found

    def _is_free(self, axis: int, partners: Sequence[tuple[int, int]]) -> bool:
        """Whether a flip along an axis, with partners exchanged, changes no meaning."""
        becomes = {k: k for k in range(1, len(self.class_values) + 1)}
        for one, other in partners:
            becomes[one], becomes[other] = other, one
        swapped = {k for pair in partners for k in pair}
        for one, other in named_pairs(self.class_values):
            # Names say that sides matter; without constant sides nobody can say how.
            if axis == 1 and one not in swapped and not self._lies_along(0, one, other):
                self.reasons.append(
                    f"Not flipped {_FLIPPED[axis]}: {self._name(one)} and {self._name(other)} are "
                    "sides by name, and lie on no constant sides of the images."
                )
                return False
        for one, other in partners:
            apart = self._told_apart(one, other)
            if apart is not None and apart >= TOLD_APART:
                self.reasons.append(
                    f"Not flipped {_FLIPPED[axis]}: {self._name(one)} and {self._name(other)} are "
                    f"sides by name and look different ({_by_looks(apart)}), so neither is the "
                    "other's mirror image."
                )
                return False
        for one, other in self._likeliest_doubles(axis):
            self.beat()
            order = self._order(one, other, axis)
            if order is None or not _keeps(order):
                continue
            flipped = self._order(becomes[one], becomes[other], axis)
            if flipped is not None and flipped.sign == -order.sign and _keeps(flipped):
                continue
            apart = self._told_apart(one, other)
            if apart is None or apart < TOLD_APART:
                self.reasons.append(
                    f"Not flipped {_FLIPPED[axis]}: {self._name(one)} lies "
                    f"{_SIDE[axis, order.sign]} {self._name(other)} ({_of(order)}), and "
                    f"{_alike(apart)}."
                )
                return False
        for k, partner in becomes.items():
            order = frame_order(self.places, k, axis)
            if order is None or not order.is_sure(MIN_DISTANCE):
                continue
            flipped = frame_order(self.places, partner, axis)
            if k != partner and flipped is not None and flipped.sign == -order.sign:
                continue
            apart = self._told_from_background(k, axis)
            if apart is None or apart < TOLD_APART:
                looks = (
                    f"what is not labelled on the other side looks like it ({_by_looks(apart)})"
                    if apart is not None
                    else _NOT_LOOKED_AT
                )
                self.reasons.append(
                    f"Not flipped {_FLIPPED[axis]}: {self._name(k)} keeps to one side of the "
                    f"image ({_of(order)}), and {looks}."
                )
                return False
        return True

    def _likeliest_doubles(self, axis: int) -> list[tuple[int, int]]:
        """All pairs of classes, those first that lie opposite each other in the image."""
        centres: dict[int, list[float]] = {}
        for _, places in self.places:
            for k, place in places.items():
                centres.setdefault(k, []).append(place.centre[axis])
        middles = {k: median(values) for k, values in centres.items()}
        pairs = itertools.combinations(sorted(middles), 2)
        return sorted(pairs, key=lambda pair: abs(middles[pair[0]] + middles[pair[1]]))

    def _lies_along(self, axis: int, one: int, other: int) -> bool:
        order = self._order(one, other, axis)
        return order is not None and _keeps(order)

    def _order(self, one: int, other: int, axis: int) -> Order | None:
        """On which side of another class a class lies, where images show one of them by the frame.

        Classes that are never seen together may keep to sides all the same (a breast per image).
        """
        together = pair_order(self.places, one, other, axis)
        sides = [frame_order(self.places, k, axis) for k in (one, other)]
        if together is not None or None in sides:
            return together
        first, second = sides
        assert first is not None and second is not None  # noqa: S101
        if first.sign == second.sign:
            return None
        return Order(
            first.sign,
            first.n_groups + second.n_groups,
            first.n_agree + second.n_agree,
            (first.distance + second.distance) / 2,
        )

    def _turns_are_free(self) -> bool:
        for one, other in itertools.combinations(range(1, len(self.class_values) + 1), 2):
            self.beat()
            order = turn_order(self.places, one, other)
            if order is None or not (order.is_sure(MIN_TURN) or order.may_be(MIN_TURN)):
                continue
            apart = self._told_apart(one, other)
            if apart is None or apart < TOLD_APART:
                high, low = (one, other) if order.sign > 0 else (other, one)
                self.reasons.append(
                    f"{self._name(high)} stands where {self._name(low)} lies ({_of(order)}), and "
                    f"{_alike(apart)}."
                )
                return False
        return True

    def _told_apart(self, one: int, other: int) -> float | None:
        return self._looked(
            (one, other),
            lambda label_map: ((True, label_map == one), (False, label_map == other)),
        )

    def _told_from_background(self, k: int, axis: int) -> float | None:
        return self._looked(
            (k, f"axis {axis}"),
            lambda label_map: (
                (True, label_map == k),
                (False, np.flip(label_map == k, axis) & (label_map == 0)),
            ),
        )

    def _looked(
        self,
        key: tuple[int, int | str],
        masks: Callable[[npt.NDArray[np.uint8]], Sequence[tuple[bool, npt.NDArray[np.bool_]]]],
    ) -> float | None:
        """How often two are told apart by looks; None where too much was looked at already."""
        if key not in self.looks:
            if len(self.looks) >= MAX_LOOKS:
                return None
            self.beat()
            self.looks[key] = told_apart(list(self._sights(masks)))
        return self.looks[key]

    def _sights(
        self,
        masks: Callable[[npt.NDArray[np.uint8]], Sequence[tuple[bool, npt.NDArray[np.bool_]]]],
    ) -> Iterator[Sight]:
        rng = np.random.default_rng(0)
        for case, label_map in zip(self.cases, self.maps, strict=True):
            if not label_map.any():
                continue
            features = self._features_of(case)
            for is_class, mask in masks(label_map):
                points = points_in(features, mask, rng)
                if points is not None:
                    yield Sight(case.case_id, case.group, is_class, *points)

    def _features_of(self, case: LabelledCase) -> Features:
        if (known := self.features.get(case.case_id)) is not None:
            return known
        self.beat()
        found = features_of(case.image())
        kept_bytes = sum(features.nbytes for features in self.features.values())
        if kept_bytes + found.nbytes <= MAX_FEATURE_BYTES:
            self.features[case.case_id] = found
        return found

    def _name(self, k: int) -> str:
        return f"{self.class_values[k - 1]!r}"


def _keeps(order: Order) -> bool:
    return order.is_sure(MIN_DISTANCE) or order.may_be(MIN_DISTANCE)


def _of(order: Order) -> str:
    return f"in {order.n_agree} of {counted(order.n_groups, 'group')}"


def _alike(apart: float | None) -> str:
    return f"they look alike ({_by_looks(apart)})" if apart is not None else _NOT_LOOKED_AT


def _by_looks(apart: float) -> str:
    return f"told apart by looks in {apart:.0%}"

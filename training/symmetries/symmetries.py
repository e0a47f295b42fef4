"""Symmetries: the flips and turns that training may use, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

FULL_TURN = 180.0
"""nnU-Net turns its images by up to this many degrees, both ways."""

SMALL_TURN = 15.0
"""Degrees that leave above above and left left; nnU-Net's own limit for long patches."""

MirrorTraining: TypeAlias = Literal["auto", "both", "horizontal", "vertical", "off"]
"""A person's word: as the labels allow, along both axes, left to right alone, upside down alone."""

Swap: TypeAlias = tuple[int, int, int]
"""An axis (0 = rows, 1 = columns) and two class integers that change places when it is flipped."""

AXES = (0, 1)
"""0: upside down; 1: left to right."""


@dataclass(frozen=True, slots=True)
class Symmetries:
    """What of an image may be flipped and turned in training.

    Attributes:
        flips: Axes that may be flipped, 0 = rows (upside down), 1 = columns (left to right).
        swaps: Classes that change places when an axis of ``flips`` is flipped.
        max_turn: Degrees, at most ``FULL_TURN``.
        reasons: Sentences: what was decided and why.
    """

    flips: tuple[int, ...] = AXES
    swaps: tuple[Swap, ...] = ()
    max_turn: float = FULL_TURN
    reasons: tuple[str, ...] = ()

    @property
    def in_words(self) -> tuple[str, ...]:
        """``reasons``, also where nothing was left out."""
        free = "All flips and turns: no classes that look alike keep to their sides."
        return self.reasons or (free,)

    def without_swaps(self) -> Symmetries:
        """The same less the flips that exchange classes, as where unions of them are learned."""
        if not self.swaps:
            return self
        reason = "Not flipped with classes exchanged: unions of classes are learned."
        return replace(self, flips=self.plain_flips, swaps=(), reasons=(*self.reasons, reason))

    @property
    def plain_flips(self) -> tuple[int, ...]:
        """Axes along which a flipped image keeps its classes."""
        swapped = {axis for axis, *_ in self.swaps}
        return tuple(axis for axis in self.flips if axis not in swapped)


FREE = Symmetries()
"""Nothing is left out of what a trainer flips and turns."""


def class_order(
    swaps: Sequence[Swap], axes: Sequence[int], n_classes: int
) -> tuple[int, ...] | None:
    """What each class is after flips along some axes; None where every one stays itself.

    The order is its own inverse, so it also brings a flipped image's maps back.

    Args:
        swaps: As of ``Symmetries``; no class twice on one axis.
        axes: Flipped axes.
        n_classes: Background included.

    Returns:
        Position k: the class that class k becomes.

    >>> class_order([(1, 1, 2)], (1,), 4)
    (0, 2, 1, 3)
    >>> class_order([(1, 1, 2)], (0,), 4) is None
    True
    """
    order = list(range(n_classes))
    for axis, one, other in swaps:
        if axis in axes:
            order[one], order[other] = order[other], order[one]
    return None if order == list(range(n_classes)) else tuple(order)


def told(word: MirrorTraining) -> Symmetries:
    """What a person's word means, other than ``auto``; classes keep their names."""
    flips = {"both": (0, 1), "horizontal": (1,), "vertical": (0,), "off": ()}[word]
    return Symmetries(
        flips=flips,
        max_turn=FULL_TURN if word == "both" else SMALL_TURN,
        reasons=(f"Told by mirror_train: {word}.",),
    )

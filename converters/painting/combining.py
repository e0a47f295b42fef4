"""Several annotators of one image: one label map from theirs, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from converters.painting.policies import POLICIES, AnnotatorPolicy
from domain.geometry import LabelMap
from domain.overlap import Overlap, overlap

_NEVER = datetime.min.replace(tzinfo=UTC)
_STAPLE_THRESHOLD = 0.5
_STAPLE_RULE = 2
"""Goes up when STAPLE decides otherwise, so that what was made by it is made anew."""

_SILENT = 2
"""What one says of a pixel of which they have no say, beside no (0) and yes (1)."""

_MOST_STEPS = 5000
_SETTLED = 1e-12
"""Change of the estimated sensitivities and specificities at which they are taken for found."""


class Submitted(Protocol):
    """What the choice looks at: an Annotation, or the store's row of one."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def ground_truth(self) -> bool: ...  # noqa: D102
    @property
    def updated_at(self) -> str: ...  # noqa: D102


A = TypeVar("A", bound=Submitted)


def choose(annotations: Iterable[A], policy: AnnotatorPolicy) -> tuple[A, ...]:
    """The annotations a policy needs, oldest first; skips are to be left out before.

    >>> choose([], "latest")
    ()
    """
    ordered = sorted(annotations, key=lambda a: (_moment(a.updated_at), a.id))
    if policy == "ground_truth_first":
        ordered = [a for a in ordered if a.ground_truth] or ordered
    if policy in ("latest", "ground_truth_first"):
        ordered = ordered[-1:]
    return tuple(ordered)


def _moment(text: str) -> tuple[datetime, str]:
    """A time to sort by; one without a zone is UTC, what is no time comes first.

    As texts, '12:00:00Z' would come after '12:00:00.5Z', and times of two zones anywhere.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _NEVER, text
    return (found if found.tzinfo else found.replace(tzinfo=UTC)), ""


def rule_of(policy: AnnotatorPolicy) -> str:
    """A policy's name, another one when the same annotations give another label map by it."""
    return f"{policy} {_STAPLE_RULE}" if policy == "staple" else policy


def combine(label_maps: Sequence[LabelMap], policy: AnnotatorPolicy, n_classes: int) -> LabelMap:
    """One label map from those of several annotators, oldest first.

    ``union``: a pixel that anybody labelled; the class most of them gave, the lower one of equals.
    ``majority``: what most gave, background too; background wins a tie, then the lower class.
    ``staple``: each class by itself (Warfield et al., 2004: annotators weighted by their estimated
    sensitivity and specificity), then the most probable class of at least 0.5; the lower of equals.
    ``latest`` and ``ground_truth_first`` give the last map: see ``choose``.

    Whoever ignored a pixel (any integer above the classes) has no say in it, and how good they are
    is not judged by it; what all ignored stays ignored.

    Args:
        label_maps: (height, width) uint8 each, of one size; one or more.
        policy: which.
        n_classes: the classes are 1..n_classes.

    Returns:
        (height, width) uint8; n_classes + 1 where nobody knows.

    Raises:
        ValueError: without maps, for maps of different sizes, or an unknown policy.
    """
    if not label_maps:
        raise ValueError("combine needs at least one label map, got none.")
    shapes = sorted({label_map.shape for label_map in label_maps})
    if len(shapes) > 1:
        raise ValueError(f"Label maps must be of one size, got {shapes}.")
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}.")
    if policy in ("latest", "ground_truth_first") or len(label_maps) == 1:
        return label_maps[-1].copy()
    silent = [label_map > n_classes for label_map in label_maps]
    if policy == "staple":
        combined = _staple(label_maps, n_classes)
    else:
        combined = _vote(label_maps, n_classes, with_background=policy == "majority")
    combined[np.logical_and.reduce(silent)] = n_classes + 1
    return combined


def _vote(label_maps: Sequence[LabelMap], n_classes: int, *, with_background: bool) -> LabelMap:
    winner = np.zeros(label_maps[0].shape, dtype=np.uint8)
    most = _votes(label_maps, 0) if with_background else np.zeros(winner.shape, dtype=np.uint16)
    for index in range(1, n_classes + 1):
        votes = _votes(label_maps, index)
        more = votes > most
        winner[more] = index
        most[more] = votes[more]
    return winner


def _votes(label_maps: Sequence[LabelMap], index: int) -> npt.NDArray[np.uint16]:
    votes = np.zeros(label_maps[0].shape, dtype=np.uint16)
    for label_map in label_maps:
        votes += label_map == index
    return votes


def _staple(label_maps: Sequence[LabelMap], n_classes: int) -> LabelMap:
    winner = np.zeros(label_maps[0].shape, dtype=np.uint8)
    most = np.full(winner.shape, np.nextafter(np.float32(_STAPLE_THRESHOLD), np.float32(0)))
    known = np.stack([label_map <= n_classes for label_map in label_maps])
    for index in range(1, n_classes + 1):
        masks = np.stack([label_map == index for label_map in label_maps])
        probability = _staple_probability(masks, known)
        more = probability > most
        winner[more] = index
        most[more] = probability[more]
    return winner


def _staple_probability(
    masks: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """(height, width) in [0, 1]: how probably each pixel is foreground.

    STAPLE's prior is the share of foreground, so it fails where there is none or nothing else, and
    pixels without any disagreement are fixed anyway: only the box round the foreground is given to
    it, with a margin of background.

    Args:
        masks: (annotator, height, width), True where one drew it.
        known: Of the same shape, False where one has no say: that counts for nothing.
    """
    anyone: npt.NDArray[np.bool_] = np.logical_or.reduce(masks)
    everyone: npt.NDArray[np.bool_] = np.logical_and.reduce(masks | ~known)
    probability: npt.NDArray[np.float32] = (anyone & everyone).astype(np.float32)
    disputed = anyone & ~everyone
    if not disputed.any():
        return probability
    window = (slice(None), *_box(anyone))
    found = _estimated(masks[window], known[window])
    # On a few pixels it may take the annotators for the opposite of what they are: what all who
    # have a say are agreed on stays.
    probability[disputed] = found[disputed[window[1:]]]
    return probability


def _estimated(
    masks: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """STAPLE by expectation maximisation, from the votes of those who have a say at each pixel.

    Pixels of which all say the same are one: there are few such patterns, whatever the size.
    """
    said: npt.NDArray[np.intp] = np.where(known, masks, _SILENT).reshape(len(masks), -1)
    said = said.astype(np.intp)
    pattern: npt.NDArray[np.intp] = np.zeros(said.shape[1], np.intp)
    for one in said:
        pattern = np.unique(pattern * (_SILENT + 1) + one, return_inverse=True)[1]
    _, first, n_pixels = np.unique(pattern, return_index=True, return_counts=True)
    said = said[:, first]
    yes, no = said == 1, said == 0
    voices: npt.NDArray[np.intp] = np.maximum((yes | no).sum(axis=0), 1)
    # Where nobody has a say there is nothing to learn.
    weight = n_pixels * (yes | no).any(axis=0)
    share: npt.NDArray[np.float64] = yes.sum(axis=0) / voices
    prior = float((weight * share).sum() / weight.sum())
    chance: npt.NDArray[np.float64] = share
    before: npt.NDArray[np.float64] = np.full((2, len(masks)), -1.0)
    for _ in range(_MOST_STEPS):
        inside, outside = weight * chance, weight * (1 - chance)
        sensitivity = _ratio((inside * yes).sum(axis=1), (inside * (yes | no)).sum(axis=1))
        specificity = _ratio((outside * no).sum(axis=1), (outside * (yes | no)).sum(axis=1))
        true = np.where(yes.T, sensitivity, np.where(no.T, 1 - sensitivity, 1)).prod(axis=1)
        false = np.where(yes.T, 1 - specificity, np.where(no.T, specificity, 1)).prod(axis=1)
        total = prior * true + (1 - prior) * false
        if not total.all():
            chance = share  # every annotator found something else: the vote decides
            break
        chance = prior * true / total
        now = np.stack([sensitivity, specificity])
        if np.abs(now - before).max() < _SETTLED:
            break
        before = now
    estimated: npt.NDArray[np.float32] = chance[pattern].astype(np.float32)
    return estimated.reshape(masks.shape[1:])


def _ratio(
    part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Their quotient; a half of those of whom nothing is known."""
    ratio: npt.NDArray[np.float64] = np.full(part.shape, 0.5)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """The mask's bounding box, twice as high and wide as it is, cut to the image."""
    slices = []
    for axis in (1, 0):
        at = np.flatnonzero(mask.any(axis=axis))
        margin = (int(at[-1]) + 1 - int(at[0]) + 1) // 2
        slices.append(slice(max(int(at[0]) - margin, 0), int(at[-1]) + 1 + margin))
    return slices[0], slices[1]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two annotators on one class, over one task or the sum of several; areas in pixels.

    ``n_tasks`` are those in which at least one of the two drew the class: the others say nothing.
    """

    annotator_a: int
    annotator_b: int
    class_value: str
    overlap_px: int
    area_a_px: int
    area_b_px: int
    n_tasks: int = 1

    @property
    def dice(self) -> float | None:
        """Overlap in [0, 1]; None where neither drew the class."""
        return Overlap(self.overlap_px, self.area_a_px, self.area_b_px).dice


def agreement(
    label_maps: Mapping[int, LabelMap], class_values: Sequence[str]
) -> tuple[Agreement, ...]:
    """Every pair of annotators (the lower id first) and every class, on one image.

    Args:
        label_maps: by annotator id, (height, width) uint8 each, of one size; what one of two
            ignores (any integer above the classes) is not compared.
        class_values: names of the classes 1, 2, ...

    Raises:
        ValueError: for maps of different sizes.
    """
    rows = []
    for a, b in combinations(sorted(label_maps), 2):
        if label_maps[a].shape != label_maps[b].shape:
            raise ValueError(
                f"Label maps must be of one size, got {label_maps[a].shape} of annotator {a} and "
                f"{label_maps[b].shape} of {b}."
            )
        known = np.maximum(label_maps[a], label_maps[b]) <= len(class_values)
        for index, value in enumerate(class_values, start=1):
            found = overlap((label_maps[a] == index) & known, (label_maps[b] == index) & known)
            areas = found.shared_px, found.first_px, found.second_px
            rows.append(Agreement(a, b, value, *areas, n_tasks=int(found.dice is not None)))
    return tuple(rows)


def pooled(rows: Iterable[Agreement]) -> tuple[Agreement, ...]:
    """The rows of several tasks added up by pair and class, so that large areas weigh more."""
    sums: dict[tuple[int, int, str], Agreement] = {}
    for row in rows:
        key = (row.annotator_a, row.annotator_b, row.class_value)
        old = sums.get(key)
        sums[key] = (
            row
            if old is None
            else Agreement(
                *key,
                old.overlap_px + row.overlap_px,
                old.area_a_px + row.area_a_px,
                old.area_b_px + row.area_b_px,
                old.n_tasks + row.n_tasks,
            )
        )
    return tuple(sums[key] for key in sorted(sums))

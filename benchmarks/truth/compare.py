"""nnloop's view against the independent reader's: what differs, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.truth.reader import LabelMap, Truth, read
from benchmarks.truth.scenes import CLASSES, SIZE_HW, Scene

Kind = Literal["differing_pixels", "stale_offered", "false_negatives_made"]

# A prediction was made for another image when it fits that one better by this much (Dice): an
# image that the task showed before, or any image of the session.
_MARGIN_FORMER = 0.15
_MARGIN_ANY = 0.35
_FOREIGN = 255


@dataclass(frozen=True, slots=True)
class Seen:
    """What nnloop would train on for a task: (height, width) uint8, k is the k-th of ``names``."""

    label_map: LabelMap
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference: which of the three figures it counts for, how much, where, and in words."""

    kind: Kind
    count: int
    task_id: int
    what: str


def training_findings(truths: Iterable[Truth], seen: Mapping[int, Seen]) -> list[Finding]:
    """Label maps that differ, tasks that are missing, and tasks that should not be there."""
    expected = {truth.task_id: truth for truth in truths}
    found: list[Finding] = []
    for task_id in sorted(expected.keys() | seen.keys()):
        truth, other = expected.get(task_id), seen.get(task_id)
        if truth is None:
            assert other is not None
            found.append(_differing(task_id, other.label_map, "it should not be trained on"))
            if not other.label_map.any():
                found.append(_empty(task_id, "nnloop trains on it as empty, and nobody said so"))
        elif other is None:
            found.append(_differing(task_id, truth.label_map, "nnloop does not train on it"))
        else:
            found += _compared(truth, other)
    return found


def differing_pixels(truth: Truth, seen: Seen) -> int:
    """Pixels of another class by name; those whose centre lies on an outline are left open."""
    ours = truth.label_map
    if ours.shape != seen.label_map.shape:
        return max(ours.size, seen.label_map.size)
    table = np.full(256, _FOREIGN, dtype=np.uint8)
    table[0] = 0
    for index, name in enumerate(seen.names, start=1):
        if name in truth.names:
            table[index] = truth.names.index(name) + 1
    rows, columns = np.nonzero(table[seen.label_map] != ours)
    return int(np.count_nonzero(~truth.ties(rows.tolist(), columns.tolist())))


def _compared(truth: Truth, seen: Seen) -> list[Finding]:
    found = []
    n = differing_pixels(truth, seen)
    if n:
        what = f"annotation {truth.annotation_id} is trained on with other pixels"
        if truth.label_map.shape != seen.label_map.shape:
            what = (
                f"its label map is {seen.label_map.shape}, but a browser shows "
                f"{truth.label_map.shape} of {truth.image}"
            )
        found.append(Finding("differing_pixels", n, truth.task_id, what))
    if not truth.is_empty and not seen.label_map.any():
        found.append(_empty(truth.task_id, f"annotation {truth.annotation_id} became empty"))
    return found


def _differing(task_id: int, label_map: LabelMap, what: str) -> Finding:
    return Finding("differing_pixels", max(1, int(np.count_nonzero(label_map))), task_id, what)


def _empty(task_id: int, what: str) -> Finding:
    return Finding("false_negatives_made", 1, task_id, what)


class Gallery:
    """The scenes of a session, to tell which of them a prediction was made for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._maps: dict[int, npt.NDArray[np.float32]] = {}

    def fits(self, drawn: LabelMap, numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        """Dice of a prediction with the truth of each scene, over both classes, in [0, 1]."""
        for number in numbers:
            if number not in self._maps:
                self._maps[number] = _one_hot(Scene(number, self._seed).truth)
        scenes = np.stack([self._maps[number] for number in numbers])
        own = _one_hot(drawn)
        total = scenes.sum(axis=1) + own.sum()
        dice: npt.NDArray[np.float32] = 2 * (scenes @ own) / total
        return dice

    def stale(
        self, drawn: LabelMap, present: int, former: Iterable[int], everything: Sequence[int]
    ) -> int | None:
        """The scene that a prediction was made for, when it is another one than the present.

        Args:
            drawn: (128, 160) uint8, 1 disc, 2 square, with something on it.
            present: number of the scene that the task shows.
            former: scenes that tasks of this id showed before.
            everything: all scenes of the session.
        """
        numbers = list(dict.fromkeys([present, *former, *everything]))
        dice = dict(zip(numbers, self.fits(drawn, numbers).tolist(), strict=True))
        margins = dict.fromkeys(everything, _MARGIN_ANY) | dict.fromkeys(former, _MARGIN_FORMER)
        others = {n: dice[n] - margin for n, margin in margins.items() if n != present}
        best = max(others, key=lambda n: others[n], default=None)
        return best if best is not None and others[best] > dice[present] else None


def drawn_prediction(
    task: Mapping[str, Any], result: Sequence[Any], class_of: Mapping[str, str]
) -> LabelMap | None:
    """A prediction's regions drawn as scenes are, or None when they show neither class.

    Args:
        task: the task's row.
        result: regions in Label Studio's JSON.
        class_of: {name that a class has or had: its name in ``CLASSES``}.
    """
    known = [
        entry
        for entry in result
        if any(name in class_of for name in entry["value"].get(str(entry["type"]), []))
    ]
    truth = read(task, {"id": 0, "result": known}, CLASSES, class_of, SIZE_HW)
    return truth.label_map if truth is not None and truth.label_map.any() else None


def _one_hot(label_map: LabelMap) -> npt.NDArray[np.float32]:
    classes = [label_map == index for index in range(1, len(CLASSES) + 1)]
    return np.stack(classes).ravel().astype(np.float32)

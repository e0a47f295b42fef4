"""Measures pairs of files: in this process while that is quick, then in a pool."""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from converters.masks.label_map_files import (
    StoredLabelMap,
    class_integers,
    read_label_volume,
    white_as_class,
)
from converters.masks.mask_pixels import WHITE
from domain.errors import FileFormatError, StackError
from domain.geometry import LabelMap
from domain.text import counted
from training.evaluation.case_measures import CaseMeasures, Spacing, measure_case
from training.evaluation.pairs import Pair
from training.evaluation.summary import Problem

POOL_AFTER_S = 4.0
"""Seconds of measuring in this process before a pool may take over: starting one costs about half
of it, and 512 x 512 pixels of two classes take 10 ms."""

_WAITING_PER_WORKER = 4
"""Cases handed out ahead, so that no worker waits, and no list of a million futures is kept."""

UNKNOWN_VALUE = "unknown_value"
"""Reason of a label map with values that are no class."""

_MAX_VALUES = 8
"""Values that a message names."""

_SAME_AXES = 1e-3
"""Relative difference up to which two NIfTI files count as one grid (they hold float32)."""

R = TypeVar("R")

Counts: TypeAlias = npt.NDArray[np.int64]
"""Pixels (class in the prediction, class in the reference), each 0 to the number of classes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one pair: its measures, unless a problem forbade them.

    ``unknown`` are (prediction or reference, value) of values that are no class. ``counts`` are
    pixels by class in the prediction and the reference, 0 = background; None without measures.
    """

    measures: CaseMeasures | None
    problems: tuple[Problem, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()
    counts: Counts | None = field(default=None, compare=False)


def class_names_from_values(pairs: Sequence[Pair], workers: int) -> dict[int, str]:
    """``class_1``, ``class_2``, ... for the integers that occur; reads every file once more."""
    found = _mapped(_values, pairs, workers, POOL_AFTER_S)
    values = class_integers(values for both in found for values in both)
    return {value: f"class_{value}" for value in sorted(values)}


def measure_pairs(
    pairs: Sequence[Pair],
    class_names: Mapping[int, str],
    *,
    ignored: Collection[int] = (),
    backgrounds: Mapping[str, int] | None = None,
    unions: Mapping[str, Sequence[int]] | None = None,
    spacing_mm: Spacing | None = None,
    workers: int = 1,
    on_case: Callable[[], None] = lambda: None,
    pool_after_s: float = POOL_AFTER_S,
) -> Iterator[Measured]:
    """Measures every pair, in order; memory does not grow with their number.

    Args:
        pairs: The files.
        class_names: Integer in the files -> class name; measures come in order of the integers.
        ignored: Integers of pixels of a reference that count in no measure.
        backgrounds: What background is, beside 0, in every ``prediction`` and ``reference``.
        unions: Name -> which of the classes are measured as one besides, by their place from 1 on.
        spacing_mm: (vertical, horizontal); None takes what a NIfTI reference says, else pixels.
        workers: Processes, at least 1.
        on_case: Called after each pair.
        pool_after_s: Seconds without a pool; the pool starts when more than that would be left.

    Raises:
        StackError: A process of the pool was ended from outside.
    """
    measure = partial(
        _measure,
        class_names=dict(class_names),
        ignored=tuple(ignored),
        backgrounds=dict(backgrounds or {}),
        unions=dict(unions or {}),
        spacing_mm=spacing_mm,
    )
    for measured in _mapped(measure, pairs, workers, pool_after_s):
        on_case()
        yield measured


def renumbered(
    label_map: LabelMap, class_names: Iterable[int], ignored: Collection[int] = ()
) -> tuple[LabelMap, list[int]]:
    """A file's integers as 1, 2, ... in order of ``class_names``, and those that are no class.

    Ignored pixels get the integer after the last class.

    A map of nothing but 0 and 255 shows its first class in white.

    Args:
        label_map: (height, width) or (slice, height, width) uint8.
        class_names: The integers of the classes.
        ignored: Integers of pixels that are not known.
    """
    integers = sorted(class_names)
    if WHITE not in ignored:
        label_map = white_as_class(label_map, integers)
    present = np.flatnonzero(np.bincount(label_map.ravel(), minlength=256)).tolist()
    table: npt.NDArray[np.uint8] = np.zeros(256, dtype=np.uint8)
    table[list(ignored)] = len(integers) + 1
    table[integers] = np.arange(1, len(integers) + 1)
    return table[label_map], [v for v in present if v and v not in (*integers, *ignored)]


def _measure(
    pair: Pair,
    *,
    class_names: dict[int, str],
    ignored: tuple[int, ...],
    backgrounds: dict[str, int],
    unions: dict[str, Sequence[int]],
    spacing_mm: Spacing | None,
) -> Measured:
    try:
        predicted, reference = (
            read_label_volume(pair.predicted),
            read_label_volume(pair.reference),
        )
    except FileFormatError as error:
        message = error.in_full
        return Measured(None, (Problem(pair.case_id, "unreadable", message),))
    problem = _mismatch(pair.case_id, predicted, reference)
    if problem is not None:
        return Measured(None, (problem,))
    problems = _turned(pair.case_id, predicted, reference)
    unknown: list[tuple[str, int]] = []
    maps = []
    for what, stored in (("prediction", predicted), ("reference", reference)):
        whole = stored.label_map
        if background := backgrounds.get(what, 0):
            whole = np.where(whole == background, np.uint8(0), whole)
        label_map, values = renumbered(whole, class_names, ignored)
        maps.append(label_map)
        if values:
            unknown += [(what, value) for value in values]
            said = f"{values_in_words(values)} no class: background"
            message = f"The {what} of {pair.case_id} holds {said}."
            problems.append(Problem(pair.case_id, UNKNOWN_VALUE, message))
    if (maps[1] > len(class_names)).all():
        message = f"All of the reference of {pair.case_id} is ignored: there is nothing to compare."
        return Measured(None, (*problems, Problem(pair.case_id, "all_ignored", message)))
    measures = measure_case(
        pair.case_id,
        maps[0],
        maps[1],
        [class_names[integer] for integer in sorted(class_names)],
        spacing_mm or reference.spacing_mm or predicted.spacing_mm,
        unions,
        reference.slice_mm or predicted.slice_mm,
    )
    return Measured(
        measures, tuple(problems), tuple(unknown), _counted(maps[0], maps[1], len(class_names))
    )


def _counted(predicted: LabelMap, reference: LabelMap, n: int) -> Counts:
    """As ``Measured.counts``; ignored pixels, which have the integer n + 1, are in none."""
    pairs = predicted.ravel().astype(np.int64) * (n + 2) + reference.ravel()
    counts = np.bincount(pairs, minlength=(n + 2) ** 2).reshape(n + 2, n + 2)
    return counts[: n + 1, : n + 1]


def values_in_words(values: Sequence[int]) -> str:
    """The start of a sentence about values: ``the value 7, which is``.

    >>> values_in_words([7, 9])
    'the values 7 and 9, which are'
    """
    shown = [str(value) for value in values[:_MAX_VALUES]]
    if len(values) > _MAX_VALUES:
        shown.append(f"{len(values) - _MAX_VALUES} more")
    listed = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    return (
        f"the value {listed}, which is" if len(values) == 1 else f"the values {listed}, which are"
    )


def _turned(case_id: str, predicted: StoredLabelMap, reference: StoredLabelMap) -> list[Problem]:
    """What was taken for granted of a NIfTI file that is compared with a picture."""
    if (predicted.axes is None) == (reference.axes is None):
        return []
    one, what = (predicted, "prediction") if reference.axes is None else (reference, "reference")
    message = f"The {what} of {case_id} {one.doubt}."
    return [Problem(case_id, "orientation", message)] if one.doubt else []


def _mismatch(case_id: str, predicted: StoredLabelMap, reference: StoredLabelMap) -> Problem | None:
    sizes = predicted.label_map.shape[-2:], reference.label_map.shape[-2:]
    if predicted.n_slices != reference.n_slices:
        message = (
            f"The prediction of {case_id} has {counted(predicted.n_slices, 'slice')}, its "
            f"reference {reference.n_slices}."
        )
        return Problem(case_id, "sizes_differ", message)
    if sizes[0] != sizes[1]:
        message = (
            f"The prediction of {case_id} is {sizes[0][0]} x {sizes[0][1]} pixels, its reference "
            f"{sizes[1][0]} x {sizes[1][1]} (height x width)."
        )
        return Problem(case_id, "sizes_differ", message)
    if predicted.axes is None or reference.axes is None:
        return None
    scale = np.abs(reference.axes).max()
    if np.allclose(predicted.axes, reference.axes, rtol=0, atol=_SAME_AXES * scale):
        return None
    message = f"Prediction and reference of {case_id} differ in the spacing or direction of axes."
    return Problem(case_id, "axes_differ", message)


def _values(pair: Pair) -> list[set[int]]:
    """The integers of either file."""
    values: list[set[int]] = []
    for path in (pair.predicted, pair.reference):
        try:
            values.append(set(np.unique(read_label_volume(path).label_map).tolist()))
        except FileFormatError:
            continue  # reported when the pair is measured
    return values


def _mapped(
    function: Callable[[Pair], R], pairs: Sequence[Pair], workers: int, pool_after_s: float
) -> Iterator[R]:
    rest = iter(pairs)
    started = time.monotonic()
    for done, pair in enumerate(rest, start=1):
        yield function(pair)
        spent = time.monotonic() - started
        if workers > 1 and min(spent, spent / done * (len(pairs) - done)) > pool_after_s:
            yield from _pooled(function, rest, workers)


def _pooled(function: Callable[[Pair], R], rest: Iterator[Pair], workers: int) -> Iterator[R]:
    # Not forked: this process may hold threads and open connections.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        waiting: deque[Future[R]] = deque(
            pool.submit(function, pair) for pair in islice(rest, workers * _WAITING_PER_WORKER)
        )
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, pair) for pair in islice(rest, 1))
            yield result
    except BrokenProcessPool as error:
        raise StackError(
            "A process that measured cases was ended from outside.",
            remedy="If the machine ran out of memory, try again with --workers 1.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""What a strategy may look at, and what a strategy is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Indices: TypeAlias = npt.NDArray[np.intp]
"""Rows of a pool."""


@dataclass(frozen=True, slots=True)
class Pool:
    """n tasks nobody has labelled. Arrays are taken as they are, not copied.

    Raises:
        ValueError: A shape, a dtype or a value is not what stands below.
    """

    task_ids: npt.NDArray[np.int64]
    """(n,), each once."""
    quality: npt.NDArray[np.float64]
    """(n,) expected quality of the prediction (its score) in [0, 1]; NaN = not predicted."""
    measures: Mapping[str, npt.NDArray[np.float64]]
    """Measures of the image by name (``entropy``, ``mutual_information``, ``pairwise_dice``,
    ``soft_dice``), each (n,); NaN = unknown."""
    class_shares: npt.NDArray[np.float64]
    """(n, C) share of the image's pixels predicted as each foreground class, in [0, 1]; a row of
    NaN = not predicted."""
    embeddings: npt.NDArray[np.float32] | None = None
    """(n, d) unit vectors; a row with a NaN = unknown. None = there are none."""
    labelled_embeddings: npt.NDArray[np.float32] | None = None
    """(m, d) of the tasks that have labels; a row with a NaN = unknown. None = there are none."""
    progress: float = 0.0
    """Share of the planned labelling that is done, in [0, 1]: what schedules go by."""

    def __post_init__(self) -> None:
        """Checks every shape, dtype and range."""
        n = len(self.task_ids) if self.task_ids.ndim == 1 else -1
        if n < 0 or not np.issubdtype(self.task_ids.dtype, np.integer):
            raise ValueError(f"task_ids must be (n,) integers, got {_of(self.task_ids)}.")
        if np.unique(self.task_ids).size != n:
            raise ValueError(f"task_ids must differ, got {_first_twice(self.task_ids)} twice.")
        _check("quality", self.quality, (n,), most=1.0)
        for name, values in self.measures.items():
            _check(f"measures[{name!r}]", values, (n,))
        if self.class_shares.ndim != 2:
            raise ValueError(f"class_shares must be (n, C), got {_of(self.class_shares)}.")
        _check("class_shares", self.class_shares, (n, self.class_shares.shape[1]), most=1.0)
        self._check_embeddings(n)
        if not 0.0 <= self.progress <= 1.0:
            raise ValueError(f"progress must lie in [0, 1], got {self.progress}.")

    def _check_embeddings(self, n: int) -> None:
        if self.embeddings is not None:
            if self.embeddings.ndim != 2 or self.embeddings.shape[1] == 0:
                raise ValueError(f"embeddings must be (n, d), got {_of(self.embeddings)}.")
            _check("embeddings", self.embeddings, (n, self.embeddings.shape[1]), least=None)
        labelled = self.labelled_embeddings
        if labelled is None:
            return
        if labelled.ndim != 2 or labelled.shape[1] == 0:
            raise ValueError(f"labelled_embeddings must be (m, d), got {_of(labelled)}.")
        _check("labelled_embeddings", labelled, labelled.shape, least=None)
        if self.embeddings is not None and labelled.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"labelled_embeddings must have the {self.embeddings.shape[1]} columns of "
                f"embeddings, got {_of(labelled)}."
            )

    def __len__(self) -> int:
        """How many tasks there are."""
        return len(self.task_ids)

    def part(self, rows: Indices) -> Pool:
        """The pool of these rows alone, in this order.

        Args:
            rows: indices, each at most once.
        """
        return Pool(
            task_ids=self.task_ids[rows],
            quality=self.quality[rows],
            measures={name: values[rows] for name, values in self.measures.items()},
            class_shares=self.class_shares[rows],
            embeddings=None if self.embeddings is None else self.embeddings[rows],
            labelled_embeddings=self.labelled_embeddings,
            progress=self.progress,
        )


Strategy: TypeAlias = Callable[[Pool, int, np.random.Generator], Indices]
"""(pool, k, rng) -> indices into the pool: a set of min(k, n), in the order chosen. All chance
comes from rng."""


def unpredicted(
    task_ids: npt.NDArray[np.int64],
    *,
    n_classes: int = 0,
    embeddings: npt.NDArray[np.float32] | None = None,
    labelled_embeddings: npt.NDArray[np.float32] | None = None,
) -> Pool:
    """The pool before the first model: no score, no measure, no class is known.

    Args:
        task_ids: (n,), each once.
        n_classes: foreground classes.
        embeddings: (n, d) or None.
        labelled_embeddings: (m, d) or None.
    """
    return Pool(
        task_ids=task_ids,
        quality=np.full(len(task_ids), np.nan),
        measures={},
        class_shares=np.full((len(task_ids), n_classes), np.nan),
        embeddings=embeddings,
        labelled_embeddings=labelled_embeddings,
    )


def _check(
    name: str,
    values: npt.NDArray[np.floating],
    shape: tuple[int, ...],
    *,
    least: float | None = 0.0,
    most: float | None = None,
) -> None:
    """Raises ValueError for another shape or dtype, or a value outside [least, most]."""
    if values.shape != shape or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{name} must be {shape} floats, got {_of(values)}.")
    if values.size == 0:
        return
    # Of a row that is unknown nothing can be said; fmin and fmax pass over NaN.
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if np.isinf(low) or np.isinf(high):
        raise ValueError(f"{name} must be finite or NaN, got {low if np.isinf(low) else high}.")
    if least is not None and low < least:
        raise ValueError(f"{name} must not lie below {least}, got {low}.")
    if most is not None and high > most:
        raise ValueError(f"{name} must not exceed {most}, got {high}.")


def _of(values: npt.NDArray[np.generic]) -> str:
    return f"{values.dtype} of the shape {values.shape}"


def _first_twice(task_ids: npt.NDArray[np.int64]) -> int:
    found, counts = np.unique(task_ids, return_counts=True)
    return int(found[counts > 1][0])

"""Versions on one scale: what each of them would reach on the same cases.

The cases that a version's folds hold out are those that were labelled by then. A strategy that
takes what is predicted worst makes them harder from version to version, so that their mean may fall
while the versions get better. But whatever was labelled early is held out by the later versions as
well. So a Dice is taken as the sum of how good its version is and how easy its case is, the least
squares of an unbalanced two-way layout (Yates 1934): versions are compared on the cases they share,
directly or through others. A case whose label was changed is another case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST_SHARED = 3
"""Cases that two versions must share to be compared; fewer tell no error of their difference."""

_UNKNOWN_SD = 0.3
"""Error of a mean over one case: about as much as Dice differs between cases at worst."""


@dataclass(frozen=True, slots=True, eq=False)
class CommonScale:
    """What versions would reach on the cases of one of them.

    Attributes:
        quality: (version,) mean over the cases of the reference, in [0, 1]; NaN for a version that
            shares too few cases, with whatever others in between.
        covariance: (version, version) of the errors of ``quality``: which cases there happen to be,
            which all versions share, and how differently cases take to a version. 0 where NaN.
        n_cases: Of the reference.
        n_shared: (version,) cases that a version shares with any other on the scale.
    """

    quality: Floats
    covariance: Floats
    n_cases: int
    n_shared: npt.NDArray[np.intp]


def on_one_scale(qualities: Sequence[Mapping[str, float]], reference: int) -> CommonScale:
    """Brings versions to the cases of one of them.

    Args:
        qualities: Of each version: case -> quality in [0, 1]. The same case with another label has
            another name.
        reference: The version whose cases count, an index into ``qualities``; it has a case.

    Raises:
        ValueError: The reference has no case.
    """
    if not qualities[reference]:
        raise ValueError("The version whose cases count has none.")
    place = {name: i for i, name in enumerate(sorted({n for one in qualities for n in one}))}
    table = np.full((len(qualities), len(place)), np.nan)
    for row, one in zip(table, qualities, strict=True):
        row[[place[name] for name in one]] = list(one.values())
    is_on = _joined(~np.isnan(table), reference)
    known = ~np.isnan(table) & is_on[:, None]
    effects, influence = _effects(np.where(known, table, 0.0), known)
    of_reference = known[reference]
    n_cases = int(of_reference.sum())
    level = float(table[reference, of_reference].mean())
    quality = np.clip(level + effects - effects[reference], 0.0, 1.0)
    deviation = np.where(of_reference, np.nan_to_num(table[reference]) - level, 0.0) / n_cases
    n_shared = (known & (known.sum(axis=0) > 1)).sum(axis=1)
    by_case = (influence - influence[reference]) * _small_sample(n_shared)[:, None]
    by_case += deviation * _small_sample(np.array([n_cases]))
    covariance = by_case @ by_case.T
    if n_cases < 2:
        covariance += _UNKNOWN_SD**2
    return CommonScale(
        quality=np.where(is_on, quality, np.nan),
        covariance=np.where(is_on[:, None] & is_on, covariance, 0.0),
        n_cases=n_cases,
        n_shared=n_shared,
    )


def _joined(known: Bools, reference: int) -> Bools:
    """(version,) which versions share enough cases with the reference, or with one that does."""
    counts = known.astype(np.int64)
    shares = counts @ counts.T >= LEAST_SHARED
    found = np.zeros(len(known), dtype=np.bool_)
    found[reference] = True
    while (more := shares[found].any(axis=0) & ~found).any():
        found |= more
    return found


def _effects(values: Floats, known: Bools) -> tuple[Floats, Floats]:
    """How good versions are beside one another, up to a constant, and what each case adds to that.

    Args:
        values: (version, case), 0 where not known.
        known: (version, case).

    Returns:
        (version,), and (version, case) the part of each case in the error (the influence function,
        which keeps together what one case does to all versions).
    """
    n_versions_of = np.maximum(known.sum(axis=0), 1)
    weights = known / n_versions_of
    centred = np.where(known, values - values.sum(axis=0) / n_versions_of, 0.0)
    normal = np.diag(known.sum(axis=1).astype(np.float64)) - weights @ known.T
    inverse = np.linalg.pinv(normal, hermitian=True)
    effects = inverse @ centred.sum(axis=1)
    left = np.where(known, values - effects[:, None], 0.0)
    residuals = np.where(known, left - left.sum(axis=0) / n_versions_of, 0.0)
    return effects, inverse @ residuals


def _small_sample(n: npt.NDArray[np.intp]) -> Floats:
    """Factor of errors that are estimated from n cases round their own mean."""
    return np.asarray(np.sqrt(n / np.maximum(n - 1.0, 1.0)), dtype=np.float64)

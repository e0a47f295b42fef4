"""How the maps of an ensemble's members become one prediction in which each member counts alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domain.prediction import FoldProbabilities


def mixing_matrix(n_folds: Sequence[int]) -> npt.NDArray[np.float64]:
    """Weights that turn the members' maps into as many maps whose plain mean is the members' mean.

    Each member takes an equal stretch of [0, 1), cut into one piece per fold; the new maps are the
    equal pieces of the whole. A new map is the mean of the old ones it overlaps, weighted by the
    overlap. So every new map is a mean of probabilities (itself one), no network is counted twice,
    and each counts 1 / (members * its member's folds) in all. With equal numbers of folds the
    matrix is the identity.

    >>> mixing_matrix([1, 2]).round(2).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]

    Args:
        n_folds: Folds of each member, at least 1.

    Returns:
        (sum of folds, sum of folds) float64 in [0, 1]; rows sum to 1.
    """
    total, n_members = sum(n_folds), len(n_folds)
    ends = np.array(
        [(m + (fold + 1) / n) / n_members for m, n in enumerate(n_folds) for fold in range(n)]
    )
    starts = np.concatenate([[0.0], ends[:-1]])
    edges = np.arange(total + 1) / total
    shared = np.minimum(edges[1:, None], ends) - np.maximum(edges[:-1, None], starts)
    weights = np.clip(shared, 0.0, None) * total
    weights[weights < 1e-9] = 0.0  # rounding at a common edge
    matrix: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return matrix


def mixed(members: Sequence[FoldProbabilities]) -> FoldProbabilities:
    """The maps of all members, each member counting alike in their plain mean.

    Args:
        members: Per member (fold, class, height, width) float32 in [0, 1].

    Returns:
        (sum of folds, class, height, width) float32 in [0, 1]. Members with equal numbers of folds,
        and a single one, keep their maps as they are, in order; else see ``mixing_matrix``.
    """
    if len(members) == 1:
        return members[0]
    maps = np.concatenate(members)
    n_folds = [len(member) for member in members]
    if len(set(n_folds)) == 1:
        return maps
    weights = mixing_matrix(n_folds).astype(np.float32)
    found: FoldProbabilities = np.zeros_like(maps)
    # Not by a matrix product: that adds in another order for another number of pixels.
    for new, row in zip(found, weights, strict=True):
        for index in np.flatnonzero(row):
            new += row[index] * maps[index]
    return found


def mean_of_members(members: Sequence[FoldProbabilities]) -> npt.NDArray[np.float32]:
    """(class, height, width) float32: the mean over the members of each one's mean over folds.

    nnU-Net's way of ensembling (``nnunetv2.ensembling.ensemble``): equal weights, probabilities.
    """
    total: npt.NDArray[np.float32] = members[0].mean(axis=0)
    for member in members[1:]:
        total = total + member.mean(axis=0)
    return total / np.float32(len(members))

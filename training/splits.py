"""Which fold a group's cases are held out in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from domain.errors import NotEnoughCasesError


def usable_folds(n_groups: int, wanted: int) -> int:
    """How many folds a set of ``n_groups`` groups can be split into.

    Fewer groups than folds wanted means leave-one-group-out.

    Args:
        n_groups: Distinct groups (patient, video, site, or the task itself) in the training set.
        wanted: Folds asked for, at least 2.

    Returns:
        A number of folds in [2, wanted].

    Raises:
        NotEnoughCasesError: With fewer than 2 groups nothing can be held out.
    """
    if wanted < 2:
        raise ValueError(f"wanted must be at least 2 folds, got {wanted}")
    if n_groups < 2:
        raise NotEnoughCasesError(
            f"Training needs at least 2 labelled groups to hold one out, got {n_groups}.",
            remedy="Label images of at least 2 groups (2 tasks when no group key is set).",
        )
    return min(n_groups, wanted)


def assign_folds(
    existing: Mapping[str, int], groups: Iterable[str], n_folds: int
) -> dict[str, int]:
    """Gives every new group a fold; a group that has one never moves.

    New groups are taken in the order of their SHA-256, each into the emptiest fold; among equally
    empty folds a hash of group and fold decides. So the answer does not depend on the order of
    ``groups``, and no fold stays empty once ``n_folds`` new groups have arrived.

    Args:
        existing: Folds given earlier, group -> fold >= 0. May name groups that are gone; they
            keep their fold but do not count when folds are balanced.
        groups: The groups of the training set now; repeats are allowed.
        n_folds: Folds to fill, at least 1. A larger fold in ``existing`` is kept as it is.

    Returns:
        ``existing`` plus the new groups, group -> fold in [0, n_folds).
    """
    if n_folds < 1:
        raise ValueError(f"n_folds must be at least 1, got {n_folds}")
    folds = dict(existing)
    present = set(groups)
    filled = [0] * n_folds
    for group in present & folds.keys():
        if folds[group] < n_folds:
            filled[folds[group]] += 1
    for group in sorted(present - folds.keys(), key=_digest):
        fold = min(range(n_folds), key=lambda k: (filled[k], _digest(f"{group}\0{k}")))
        folds[group] = fold
        filled[fold] += 1
    return folds


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

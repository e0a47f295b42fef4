"""Which fold a group's cases are held out in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors import NotEnoughCasesError


@dataclass(frozen=True, slots=True)
class FoldAssignment:
    """The fold of every group.

    Attributes:
        n_folds: 1: one fold trains on everything and nothing is held out. Otherwise the number of
            folds the assignment belongs to; a fold whose groups are all gone is not trained.
        folds: Group -> fold in [0, n_folds), also of groups that are gone.
    """

    n_folds: int
    folds: Mapping[str, int]


def usable_folds(n_groups: int, wanted: int) -> int:
    """How many folds a set of ``n_groups`` groups can be split into.

    Fewer groups than folds wanted means leave-one-group-out; a single group can't be split, so one
    fold trains on all of it and nothing is held out.

    Args:
        n_groups: Distinct groups (patient, video, site, or the task itself) in the training set.
        wanted: Folds asked for, at least 2.

    Returns:
        A number of folds in [1, wanted].

    Raises:
        NotEnoughCasesError: Without a group there is nothing to train on.
    """
    if wanted < 2:
        raise ValueError(f"wanted must be at least 2 folds, got {wanted}")
    if n_groups < 1:
        raise NotEnoughCasesError(
            f"Training needs at least 1 labelled group, got {n_groups}.",
            remedy="Label images.",
        )
    return min(n_groups, wanted)


def choose_folds(
    tables: Mapping[int, Mapping[str, int]], groups: Iterable[str], wanted: int
) -> FoldAssignment:
    """Number of folds and fold of every group, keeping what was assigned before.

    Assignments are kept per number of folds: while there are fewer groups than folds wanted, each
    new group makes another number of folds, and groups may then sit in other folds than before.
    While the number stays, no group ever moves. Should removals leave all groups in one fold, the
    next number of folds is taken in which they lie apart, rather than moving one.

    Args:
        tables: Number of folds -> group -> fold, as assigned earlier.
        groups: The groups of the training set now, at least 1; repeats are allowed.
        wanted: Folds asked for, at least 2.

    Raises:
        NotEnoughCasesError: ``groups`` is empty.
    """
    present = set(groups)
    n_folds = usable_folds(len(present), wanted)
    while True:
        folds = assign_folds(tables.get(n_folds, {}), present, n_folds)
        if n_folds == 1 or len({folds[group] for group in present}) > 1:
            return FoldAssignment(n_folds, folds)
        n_folds += 1


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


def held_out_cases(folds: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    """The cases each fold holds out, sorted; none for a fold whose cases are all gone.

    Args:
        folds: Case id -> fold >= 0, at least one case. All in fold 0 means: nothing is held out.

    Raises:
        NotEnoughCasesError: All cases are in one fold that is not the only one.
    """
    n_folds = max(folds.values()) + 1
    held: dict[int, list[str]] = {k: [] for k in range(n_folds)}
    for case_id in sorted(folds):
        held[folds[case_id]].append(case_id)
    if n_folds > 1 and sum(1 for case_ids in held.values() if case_ids) < 2:
        raise NotEnoughCasesError(
            f"All {len(folds)} labelled images are in fold {n_folds - 1}, so nothing is left to "
            "train on.",
            remedy="Put some into other folds, or all into fold 0 to hold nothing out.",
        )
    return {k: tuple(case_ids) for k, case_ids in held.items()}


def to_splits(held_out: Mapping[int, tuple[str, ...]]) -> list[dict[str, list[str]]]:
    """nnU-Net's splits_final.json: entry k has fold k's cases as ``val``, all others as ``train``.

    With a single fold both are all cases.

    Args:
        held_out: As ``held_out_cases`` returns it.
    """
    everything = {case_id for held in held_out.values() for case_id in held}
    return [
        {"train": sorted(everything - set(held_out[k]) or everything), "val": list(held_out[k])}
        for k in sorted(held_out)
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

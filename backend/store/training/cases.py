"""Prepared cases and the folds of their groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.store.models import CaseRow, GroupRow

MOST_JOINED = 0.2
"""Of the cases."""


def cases_of(session: Session, project_id: int) -> dict[str, CaseRow]:
    """Prepared cases by case id."""
    query = select(CaseRow).where(CaseRow.project_id == project_id)
    return {row.case_id: row for row in session.scalars(query)}


def save_case(session: Session, row: CaseRow) -> None:
    """Writes or replaces a prepared case."""
    session.merge(row)


def sets_of_alike(session: Session, project_id: int) -> dict[str, str]:
    """Case id -> name of its set, of cases whose images look like others'."""
    query = select(CaseRow.case_id, CaseRow.alike).where(
        CaseRow.project_id == project_id, CaseRow.alike.is_not(None), CaseRow.alike != ""
    )
    return {case_id: alike for case_id, alike in session.execute(query) if alike}


def sets_to_join(session: Session, project_id: int, join_alike: bool | None) -> dict[str, str]:
    """Case id -> name of its set, of sets of cases that look alike and count as one group.

    Args:
        session: Of the store.
        project_id: Whose cases.
        join_alike: The setting; None: those that hold at most ``MOST_JOINED`` of the cases. A set
            of most of them (one place at many dates) would leave nothing to judge by.
    """
    sets = {} if join_alike is False else sets_of_alike(session, project_id)
    if join_alike or not sets:
        return sets
    query = select(func.count()).where(CaseRow.project_id == project_id)
    most = max(2, int(MOST_JOINED * (session.scalar(query) or 0)))
    sizes = Counter(sets.values())
    return {case_id: name for case_id, name in sets.items() if sizes[name] <= most}


def fold_tables(session: Session, project_id: int) -> dict[int, dict[str, int]]:
    """Number of folds -> group -> fold, as fixed so far."""
    query = select(GroupRow.n_folds, GroupRow.group, GroupRow.fold).where(
        GroupRow.project_id == project_id
    )
    tables: dict[int, dict[str, int]] = {}
    for n_folds, group, fold in session.execute(query):
        tables.setdefault(n_folds, {})[group] = fold
    return tables


def add_groups(
    session: Session, project_id: int, n_folds: int, folds: Mapping[str, int], known: Iterable[str]
) -> None:
    """Stores the folds of groups that are not among the known ones."""
    for group in folds.keys() - set(known):
        session.add(
            GroupRow(project_id=project_id, n_folds=n_folds, group=group, fold=folds[group])
        )

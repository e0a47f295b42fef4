"""Groups that have to lie in one fold, because images of theirs are the same or nearly so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence


def join_groups(
    groups: Mapping[str, str], alike: Iterable[Sequence[str]], known: Collection[str] = ()
) -> dict[str, str]:
    """Which groups become one, and what it is called.

    Args:
        groups: Case id -> group.
        alike: Sets of cases whose groups belong together; cases that are not in ``groups`` count
            as groups of their own name, and may link others.
        known: Names of groups that have a fold already: a joined group takes the first of these
            (by the alphabet), so that as few cases as possible move; without one the first of all.

    Returns:
        Name -> the name of the joined group, of the groups that are called otherwise now.

    >>> join_groups({"a": "p1", "b": "p2", "c": "p3"}, [("a", "b")])
    {'p2': 'p1'}
    """
    parent: dict[str, str] = {}

    def root_of(name: str) -> str:
        while (above := parent.get(name, name)) != name:
            parent[name] = parent.get(above, above)
            name = above
        return name

    for cases in alike:
        names = [groups.get(case, case) for case in cases]
        for name in names[1:]:
            parent[root_of(name)] = root_of(names[0])
    members: dict[str, list[str]] = {}
    for name in sorted({*groups.values(), *parent}):
        members.setdefault(root_of(name), []).append(name)
    joined = {}
    for names in members.values():
        chosen = min(names, key=lambda name: (name not in known, name))
        joined.update({name: chosen for name in names if name != chosen})
    return joined


def alike_by(keys: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Cases with the same key (case id -> key), where two or more have it; "" is no key."""
    found: dict[str, list[str]] = {}
    for case_id, key in keys.items():
        if key:
            found.setdefault(key, []).append(case_id)
    return [tuple(cases) for cases in found.values() if len(cases) > 1]

"""ClassUnions: classes that a network finds together (nnU-Net's regions), and the way back."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from domain.errors import SettingsError
from domain.labels import LabelGroup

_QUOTE = '"'

_MOST_READINGS = 100
"""Of one text; two are too many already."""


@dataclass(frozen=True, slots=True)
class ClassUnion:
    """Classes found together, as whole = core and rim.

    Attributes:
        name: Its own.
        members: Their integers, two or more, rising.
        rest: The member that is predicted where the union is found and none of the others is.
    """

    name: str
    members: tuple[int, ...]
    rest: int


@dataclass(frozen=True, slots=True)
class Target:
    """One output of a network that finds unions: a union, or a class by itself.

    Attributes:
        name: Of the union or class.
        members: Integers of the classes in which it is true.
        paints: Integer of the class that is predicted where it is found, unless a later target
            is found there too.
    """

    name: str
    members: tuple[int, ...]
    paints: int


@dataclass(frozen=True, slots=True)
class UnionPlan:
    """What a network that finds unions learns, one target for each class, in painting order."""

    unions: tuple[ClassUnion, ...]
    targets: tuple[Target, ...]


def union_plan(
    group: LabelGroup, unions: Sequence[str], order: Sequence[str] = ()
) -> UnionPlan | None:
    """What settings say about unions; None where there are none.

    The class named last in a union is its rest. Without an order larger unions are painted first,
    then the classes that are no rest, by their integers; but for those that would hide another.

    Args:
        group: The classes.
        unions: Each as ``vessel=lumen+wall``.
        order: Every class once: what is painted first, and over it what comes later.

    Raises:
        SettingsError: One can't be read or names no class, two have the same rest, or some class
            would be painted as another.
    """
    if not unions:
        return None
    values = {c.value: c.index for c in group.classes}
    read = read_unions(unions, group)
    of_rest = {union.rest: union for union in read}
    if len(of_rest) < len(read) or len({union.name for union in read}) < len(read):
        raise SettingsError(
            "Two unions have the same name, or the same class as their last.",
            remedy="The class named last is what the union is where none of its others is found: "
            "it must be another one for each union.",
        )
    taken = next((union.name for union in read if union.name in values), None)
    if taken is not None:
        raise SettingsError(
            f"The union {taken!r} is called as a class.", remedy="Give it another name."
        )
    found = _found_order(group, of_rest)
    integers = _said_order(order, group) if order else found or _usual_order(group, of_rest)
    names = {c.index: c.value for c in group.classes}
    targets = tuple(
        Target(of_rest[k].name, of_rest[k].members, k)
        if k in of_rest
        else Target(names[k], (k,), k)
        for k in integers
    )
    for k in integers:
        painted = [target.paints for target in targets if k in target.members][-1]
        if painted != k:
            that_does = " ".join(f"--order {names[one]!r}" for one in found or ())
            raise SettingsError(
                f"With these unions {names[k]!r} would be predicted as {names[painted]!r}: "
                "what is painted later covers it.",
                remedy=f"Leave --order out, or paint them so: {that_does}"
                if that_does
                else "Unions lie within one another, the largest painted first, and the class "
                "named last belongs to no smaller one (--union); no order of painting mends that.",
            )
    return UnionPlan(read, targets)


def read_unions(unions: Sequence[str], group: LabelGroup) -> tuple[ClassUnion, ...]:
    """Unions as a person writes them, each as ``vessel=lumen+wall``.

    Raises:
        SettingsError: One can't be read or names no class.
    """
    return tuple(_read(text, group) for text in unions)


def union_text(name: str, members: Sequence[str], group: LabelGroup) -> str:
    """A union as settings write it, such that it is read as these classes.

    Args:
        name: Its own, without "=".
        members: Names of classes of the group, the rest last.
        group: The classes.
    """
    plain = f"{name}={'+'.join(members)}"
    wanted = [c.index for value in members if (c := group.class_by_value(value)) is not None]
    if list(islice(_readings(_parts(plain), group), 2)) == [wanted]:
        return plain
    return f"{name}={'+'.join(f'{_QUOTE}{value}{_QUOTE}' for value in members)}"


def _parts(text: str) -> list[str]:
    return text.partition("=")[2].split("+")


def _read(text: str, group: LabelGroup) -> ClassUnion:
    name, equals, _ = (part.strip() for part in text.partition("="))
    found = [one for one in islice(_readings(_parts(text), group), _MOST_READINGS) if len(one) > 1]
    if len(found) > 1:
        names = {c.index: c.value for c in group.classes}
        ways = [" and ".join(repr(names[k]) for k in one) for one in found[:2]]
        quoted = "+".join(f"{_QUOTE}{names[k]}{_QUOTE}" for k in found[0])
        raise SettingsError(
            f"The union {text!r} may be {ways[0]}, or {ways[1]}: a class has a plus in its name.",
            remedy=f"Write every class in quotes: --union '{name}={quoted}'.",
        )
    if not (equals and name) or not found:
        known = ", ".join(c.value for c in group.classes)
        raise SettingsError(
            f"The union {text!r} can't be read.",
            remedy=f"Write it as --union NAME=CLASS+CLASS with two or more of {known}; --union '' "
            "takes those of before away.",
        )
    return ClassUnion(name, tuple(sorted(found[0])), found[0][-1])


def _readings(
    parts: Sequence[str], group: LabelGroup, before: tuple[int, ...] = ()
) -> Iterator[list[int]]:
    """Every way to read the parts between pluses as classes: one may have a plus in its name.

    The longest names come first. A name in quotes is that name, whatever others there are.
    """
    if not parts:
        yield list(before)
        return
    for stop in range(len(parts), 0, -1):
        text = "+".join(parts[:stop]).strip()
        label = group.class_by_value(text)
        if label is None and len(text) > 1 and text[0] == text[-1] == _QUOTE:
            label = group.class_by_value(text[1:-1])
        if label is not None and label in group.classes and label.index not in before:
            yield from _readings(parts[stop:], group, (*before, label.index))


def _usual_order(group: LabelGroup, of_rest: Mapping[int, ClassUnion]) -> list[int]:
    size = {k: len(union.members) for k, union in of_rest.items()}
    return sorted((c.index for c in group.classes), key=lambda k: (-size.get(k, 1), k))


def _found_order(group: LabelGroup, of_rest: Mapping[int, ClassUnion]) -> list[int] | None:
    """The usual order, changed only where a class would be hidden; None where there is no order.

    A class is seen where it is painted after all unions that hold it but its own.
    """
    rank = {k: place for place, k in enumerate(_usual_order(group, of_rest))}
    over = {k: [m for m in of_rest[k].members if m != k] if k in of_rest else [] for k in rank}
    n_below = {k: sum(k in above for above in over.values()) for k in rank}
    free = [(rank[k], k) for k, n in n_below.items() if n == 0]
    heapq.heapify(free)
    found: list[int] = []
    while free:
        _, k = heapq.heappop(free)
        found.append(k)
        for above in over[k]:
            n_below[above] -= 1
            if n_below[above] == 0:
                heapq.heappush(free, (rank[above], above))
    return found if len(found) == len(rank) else None


def _said_order(order: Sequence[str], group: LabelGroup) -> list[int]:
    classes = [c.index for c in group.classes]
    found = [group.class_by_value(name) for name in order]
    integers = [label.index for label in found if label is not None]
    if sorted(integers) != classes:
        raise SettingsError(
            f"The order of painting is {', '.join(order)}.",
            remedy=f"Name every class once: {', '.join(c.value for c in group.classes)}.",
        )
    return integers

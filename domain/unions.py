"""ClassUnions: classes that a network finds together (nnU-Net's regions), and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import SettingsError
from domain.labels import LabelGroup


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
    then the classes that are no rest, by their integers.

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
    integers = _order(order, group, of_rest)
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
            raise SettingsError(
                f"With these unions {names[k]!r} would be predicted as {names[painted]!r}: "
                "what is painted later covers it.",
                remedy="Unions lie within one another, the largest painted first, and the class "
                "named last belongs to no smaller one (--union, --order).",
            )
    return UnionPlan(read, targets)


def read_unions(unions: Sequence[str], group: LabelGroup) -> tuple[ClassUnion, ...]:
    """Unions as a person writes them, each as ``vessel=lumen+wall``.

    Raises:
        SettingsError: One can't be read or names no class.
    """
    return tuple(_read(text, group) for text in unions)


def _read(text: str, group: LabelGroup) -> ClassUnion:
    name, equals, right = (part.strip() for part in text.partition("="))
    members = _members(right.split("+"), group)
    if not (equals and name) or len(members) < 2:
        known = ", ".join(c.value for c in group.classes)
        raise SettingsError(
            f"The union {text!r} can't be read.",
            remedy=f"Write it as --union NAME=CLASS+CLASS with two or more of {known}; --union '' "
            "takes those of before away.",
        )
    return ClassUnion(name, tuple(sorted(members)), members[-1])


def _members(parts: Sequence[str], group: LabelGroup) -> list[int]:
    """Integers in the order named; a class may have a plus in its name. Empty: can't be read."""
    found: list[int] = []
    start = 0
    while start < len(parts):
        for stop in range(len(parts), start, -1):
            label = group.class_by_value("+".join(parts[start:stop]).strip())
            if label is not None and label in group.classes and label.index not in found:
                found.append(label.index)
                start = stop
                break
        else:
            return []
    return found


def _order(order: Sequence[str], group: LabelGroup, of_rest: Mapping[int, ClassUnion]) -> list[int]:
    classes = [c.index for c in group.classes]
    if not order:
        size = {k: len(union.members) for k, union in of_rest.items()}
        return sorted(classes, key=lambda k: (-size.get(k, 1), k))
    found = [group.class_by_value(name) for name in order]
    integers = [label.index for label in found if label is not None]
    if sorted(integers) != classes:
        raise SettingsError(
            f"The order of painting is {', '.join(order)}.",
            remedy=f"Name every class once: {', '.join(c.value for c in group.classes)}.",
        )
    return integers

"""Unions of classes in nnU-Net's dataset.json (its regions), read as settings say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from converters.classes.reserved_names import class_of_label, nnunet_labels
from domain.errors import FileFormatError, SettingsError
from domain.labels import LabelClass, LabelGroup
from domain.unions import UnionPlan, union_plan, union_text

IGNORE = "ignore"
"""nnU-Net's name of the label whose pixels teach nothing; its integer is the highest."""

ORDER = "regions_class_order"
"""nnU-Net's name of the classes that unions are painted as, in the order of the unions."""

CLASSES = "nnloop_classes"
"""Beside unions, the names of the classes in integer order: a union's rest has none of its own."""

_MOST_INTEGERS = 255
"""Of a mask."""


@dataclass(frozen=True, slots=True)
class SaidUnions:
    """Unions of classes as settings say them; both empty where there are none.

    Attributes:
        unions: Each as ``vessel=lumen+wall``, the class named last its rest.
        order: Every class once, in the order of painting; empty where larger unions come first.
    """

    unions: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


def has_unions(labels: Any) -> bool:
    """Whether the ``labels`` of a dataset.json are such that nnU-Net finds unions."""
    values = labels.values() if isinstance(labels, dict) else ()
    return any(isinstance(value, list | tuple) and len(value) > 1 for value in values)


def class_names(dataset: Mapping[str, Any]) -> dict[int, str]:
    """Names of the classes that the unions of a dataset.json tell apart, by their integers.

    One that is a label by itself has its name. One that is only what is left of a union is called
    "rest of" the smallest, as with models from elsewhere, unless nnloop has written the names
    beside. Integers that are in the very same unions are one class: nothing tells them apart.

    Raises:
        FileFormatError: The labels are not integers, or lists of them.
    """
    labels = _labels(dataset)
    integers = sorted({k for members in labels.values() for k in members})
    own = dataset.get(CLASSES)
    is_ours = (
        isinstance(own, list)
        and all(isinstance(name, str) and name for name in own)
        and len(set(own)) == len(own)
        and integers == list(range(1, len(own) + 1))
    )
    if is_ours:
        return dict(enumerate(own or (), start=1))
    of_alike: dict[frozenset[int], str] = {}
    names = {}
    for k in integers:
        inside = {name: members for name, members in labels.items() if k in members}
        alike = frozenset(i for i in integers if all((i in m) == (k in m) for m in labels.values()))
        alone = next((name for name, members in inside.items() if members == alike), None)
        rest = f"rest of {min(inside, key=lambda name: len(labels[name]))}"
        while rest in labels or rest in of_alike.values():
            rest += "_"
        name = rest if alone is None else class_of_label(alone, min(alike))
        names[k] = of_alike.setdefault(alike, name)
    return names


def read_unions(dataset: Mapping[str, Any], names: Mapping[int, str]) -> SaidUnions:
    """The unions of a dataset.json, as settings say them.

    Args:
        dataset: Its content.
        names: Name of the class by integer; several may have one, "" and what is missing is left
            out.

    Raises:
        FileFormatError: It does not say how they are painted, or they are such that a class would
            be predicted as another.
    """
    if not has_unions(dataset.get("labels")):
        return SaidUnions()
    labels, order = _labels(dataset), dataset.get(ORDER)
    if not isinstance(order, list) or len(order) != len(labels):
        raise FileFormatError(
            f"dataset.json has unions of classes (nnU-Net's regions), and does not say in {ORDER} "
            "for each what it is painted as.",
            remedy=f"Add {ORDER} to it, or say what is learned with --union.",
        )
    classes = tuple(dict.fromkeys(filter(None, (names[k] for k in sorted(names)))))
    painted: list[tuple[str, tuple[str, ...], str]] = []
    for (label, members), integer in zip(labels.items(), order, strict=True):
        inside = {names.get(k, "") for k in members} - {""}
        if inside & {names[k] for k in names.keys() - members}:
            continue  # who made one class of several tells no part of it from the rest
        paints = names.get(integer, "") if type(integer) is int else ""
        if paints and paints not in inside:
            raise _error(f"{label!r} is painted as {paints!r}, which is not in it")
        if paints:  # else it is the union of a class that is left out
            painted.append((label, tuple(c for c in classes if c in inside), paints))
    for name in classes:
        seen = [paints for _, parts, paints in painted if name in parts]
        if seen[-1:] != [name]:
            raise _error(f"{name!r} would be predicted as {seen[-1] if seen else 'background'!r}")
    targets: dict[str, tuple[str, tuple[str, ...]]] = {}
    for label, parts, paints in painted:
        before = targets.get(paints, ("", ()))
        if min(len(parts), len(before[1])) > 1:
            raise _error(f"{label!r} and {before[0]!r} are both painted as {paints!r}")
        # What a union is painted as needs no output of its own: it is the rest.
        if len(parts) > len(before[1]):
            targets.pop(paints, None)
            targets[paints] = (label, parts)
    group = LabelGroup("", "", "", tuple(LabelClass(k, c) for k, c in enumerate(classes, start=1)))
    unions = tuple(
        union_text(_name(label, classes), [*(c for c in parts if c != paints), paints], group)
        for paints, (label, parts) in targets.items()
        if len(parts) > 1
    )
    if not unions:
        return SaidUnions()
    try:
        plan = union_plan(group, unions, tuple(targets))
        usual = union_plan(group, unions)
    except SettingsError as error:
        raise _error(str(error).rstrip(".")) from error
    # An order names every class, and a folder's interface may have more: only where it says more.
    return SaidUnions(unions, () if plan == usual else tuple(targets))


def labels_with_unions(
    class_values: Sequence[str], unions: UnionPlan | None
) -> tuple[dict[str, int | list[int]], dict[str, Any]]:
    """The ``labels`` of a dataset.json, and what else it says where there are unions.

    Args:
        class_values: Class names in integer order, background left out.
        unions: What is learned in place of the classes; label maps hold the classes all the same.
    """
    plain = nnunet_labels(class_values)
    if unions is None:
        return {**plain}, {}
    own = {integer: name for name, integer in plain.items()}
    labels: dict[str, int | list[int]] = {"background": 0}
    for target in unions.targets:
        if len(target.members) == 1:
            labels[own[target.paints]] = target.paints
            continue
        name = target.name
        while name in labels or name in plain or name == IGNORE:
            name += "_"
        labels[name] = list(target.members)
    return labels, painting_of(class_values, unions)


def painting_of(class_values: Sequence[str], unions: UnionPlan) -> dict[str, Any]:
    """What a dataset.json says of unions beside their labels: as what they are painted."""
    order = [target.paints for target in unions.targets]
    return {ORDER: order, CLASSES: list(class_values)}


def _labels(dataset: Mapping[str, Any]) -> dict[str, frozenset[int]]:
    """Label -> its integers, in the order of the file; without background and what is ignored."""
    found = {}
    labels = dataset.get("labels")
    for name, value in labels.items() if isinstance(labels, dict) else ():
        members = value if isinstance(value, list) else [value]
        if name == IGNORE or (members and all(k == 0 for k in members)):
            continue
        if not members or not all(type(k) is int and 0 < k <= _MOST_INTEGERS for k in members):
            raise FileFormatError(
                f"The label {str(name)[:80]!r} in dataset.json is no integer from 1 to "
                f"{_MOST_INTEGERS}, nor a list of such.",
                remedy="Correct it; background alone is 0.",
            )
        found[str(name)] = frozenset(members)
    return found


def _name(label: str, classes: Sequence[str]) -> str:
    """Of a union: another one than that of any class, and without what parts it from them."""
    name = label.replace("=", "-").strip()
    while name in classes:
        name += "_"
    return name


def _error(what: str) -> FileFormatError:
    return FileFormatError(
        f"The unions of classes in dataset.json can't be learned: {what}.",
        remedy=f"Correct labels and {ORDER} (docs/class-unions.md), or say what is learned with "
        "--union; --union '' learns each class by itself.",
    )

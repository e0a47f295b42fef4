"""Names of classes on two sides: another tool's or model's, and the labels of an interface."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.errors import SettingsError
from domain.labels import LabelClass, LabelGroup

_PREFIX = re.compile(r"^\d+_")
_MAX_NAMES = 30
"""Names that a message lists of one side."""


@dataclass(frozen=True, slots=True)
class MatchedClasses:
    """Which label each class of a source is.

    Attributes:
        by_name: Their name -> our class; None for one that is left out on request.
        remarks: What was taken for granted, in sentences.
    """

    by_name: dict[str, LabelClass | None]
    remarks: tuple[str, ...] = field(default=())


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """``['theirs=ours', 'other=']`` as a dict; an empty right side leaves a class out.

    Raises:
        SettingsError: An item has no ``=``, or names a class twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        theirs, equals, ours = (part.strip() for part in pair.partition("="))
        if not equals or not theirs or theirs in found:
            raise SettingsError(
                f"--map {pair!r} can't be used.",
                remedy="Write --map theirs=ours once per class; --map theirs= leaves a class out.",
            )
        found[theirs] = ours
    return found


def find_class(name: str, group: LabelGroup) -> LabelClass | None:
    """The label that a name stands for: its value, alias, title or predicted name.

    Letter case and Unicode form do not matter where nothing has the very name, nor does nnloop's
    integer prefix.
    """
    candidates = (name, _PREFIX.sub("", name))
    for candidate in candidates:
        exact = group.class_by_value(candidate)
        if exact is not None:
            return exact
    folded = set(map(_folded, candidates))
    for label_class in group.labels:
        if folded & set(map(_folded, label_class.names)):
            return label_class
    return None


def _folded(name: str) -> str:
    return _composed(name).strip().casefold()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def match_classes(
    names: Sequence[str],
    group: LabelGroup,
    mapping: Mapping[str, str],
    known: Sequence[str] = (),
) -> MatchedClasses:
    """Finds the label of every class that a source uses.

    A class is the label ``mapping`` says, else the one ``find_class`` finds. A single class is the
    single label of an interface, whatever their names. Several classes may become one label only
    through ``mapping``.

    Args:
        names: The classes that occur in the source.
        group: The interface's labels.
        mapping: Their name -> our name; "" leaves the class out.
        known: Classes the source names, whether they occur or not; ``mapping`` may name them.

    Raises:
        SettingsError: A class fits no label, or ``mapping`` names what is on neither side; the
            message has the names of both.
    """
    both = _both([*names, *known], group)
    # A name that somebody typed is in NFC, one that comes from macOS may be in NFD.
    forms = {_composed(name): name for name in (*known, *names)}
    mapping = {
        theirs if theirs in forms.values() else forms.get(_composed(theirs), theirs): ours
        for theirs, ours in mapping.items()
    }
    for theirs, ours in mapping.items():
        if theirs not in names and theirs not in known:
            raise SettingsError(f"--map names {theirs!r}, which the source lacks.", remedy=both)
        if ours and find_class(ours, group) is None:
            raise SettingsError(f"--map names {ours!r}, which is no label.", remedy=both)
    by_name: dict[str, LabelClass | None] = {}
    unknown = []
    for name in names:
        if name in mapping:
            by_name[name] = find_class(mapping[name], group) if mapping[name] else None
            continue
        found = find_class(name, group)
        if found is None:
            unknown.append(name)
        else:
            by_name[name] = found
    remarks: tuple[str, ...] = ()
    if len(unknown) == 1 and not by_name and len(group.classes) == 1:
        by_name[unknown[0]] = only = group.classes[0]
        what = f"{unknown[0]!r} was taken for {only.value!r}"
        remarks = (f"{what}: there is one class on both sides.",)
        unknown = []
    if unknown:
        pictures = " (of a colour picture)" if unknown[0].startswith("#") else ""
        what = "is no label" if len(unknown) == 1 else "are no labels"
        raise SettingsError(
            f"{_list(map(repr, unknown))}{pictures} {what} of the labelling interface; "
            "nothing was imported.",
            remedy=f"{both} Say which is which with --map '{unknown[0]}=LABEL', or leave it out "
            f"with --map '{unknown[0]}='.",
        )
    return MatchedClasses(by_name, remarks)


def _both(names: Sequence[str], group: LabelGroup) -> str:
    theirs = _list(dict.fromkeys(names)) or "none"
    labels = _list(group.label_values)
    return f"The source has {theirs}; the labelling interface {labels}."


def _list(names: Iterable[str]) -> str:
    found = [name[:80] for name in names]
    more = f" and {len(found) - _MAX_NAMES} more" if len(found) > _MAX_NAMES else ""
    return ", ".join(found[:_MAX_NAMES]) + more

"""A result of one Label Studio in the controls and labels of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from defusedxml import ElementTree

from converters.classes.matching import MatchedClasses
from converters.label_studio.config.controls import preference
from converters.label_studio.region_types import (
    LABELS_TYPE,
    REGION_TYPES,
    region_type_by_name,
    region_type_of_value,
)
from domain.annotation import LeftOut
from domain.labels import Control, LabelClass, LabelConfig

_LABEL_KEYS = (LABELS_TYPE, *(kind.labels_key for kind in REGION_TYPES))

Entry = dict[str, Any]


class Fitted(NamedTuple):
    """What of a result has its place: the entries, what was lost, whether that is all of it."""

    result: list[Entry]
    notes: list[LeftOut]
    is_lost: bool


class Fitting:
    """Brings results to a labelling configuration. Shapes and ids stay as they are.

    Args:
        config: Of the project that they go into.
        classes: Which of its labels theirs are.
    """

    def __init__(self, config: LabelConfig, classes: MatchedClasses) -> None:
        self._config, self._classes = config, classes
        root = ElementTree.fromstring(config.xml, forbid_dtd=True)  # it was parsed before
        self._names = {tag.get("name") for tag in root.iter() if tag.get("name")}

    def fit(self, result: Sequence[object], number: int, what: str) -> Fitted:
        """The entries under the project's names, without those that have no place there.

        A region goes with all that is said of it.

        Args:
            result: Label Studio's JSON.
            number: Of the source's task, for the notes.
            what: Whose result it is, for the notes: ``annotation 4 of task 7``.
        """
        entries = [_typed(entry) for entry in result if isinstance(entry, dict)]
        notes: list[LeftOut] = []
        gone: set[object] = set()
        placed: list[tuple[object, Entry | None]] = []
        for position, entry in enumerate(entries):
            region_id = entry.get("id") if entry.get("id") is not None else ("", position)
            try:
                found = self._placed(entry)
            except _NoPlaceError as error:
                if error.why:  # else it was asked for
                    message = f"{what}: {error.why}"
                    notes.append(LeftOut(number, error.reason, message, str(region_id)))
                found = None
                if _draws(entry):
                    gone.add(region_id)
            placed.append((region_id, found))
        kept = [entry for i, entry in placed if entry is not None and i not in gone]
        ids = {entry.get("id") for entry in kept}
        left = [e for e in kept if e.get("type") != "relation" or _ends(e) <= ids]
        is_lost = bool(entries) and not left
        return Fitted(left, notes, is_lost)

    def _placed(self, entry: Entry) -> Entry:
        kind, value = entry.get("type"), entry.get("value")
        if kind == "relation":
            return entry
        if not _draws(entry) or not isinstance(value, dict):
            if entry.get("from_name") in self._names and entry.get("to_name") in self._names:
                return entry
            raise _NoPlaceError(
                "no_control",
                f"what {entry.get('from_name')!r} ({kind}) says has no control of that name in "
                "the labelling interface.",
            )
        key = next((k for k in _LABEL_KEYS if isinstance(value.get(k), list)), None)
        if key is None:
            return self._bare(entry)
        classes = [self._class(name) for name in value[key]]
        found = [c for c in classes if c is not None]
        if classes and not found:
            raise _NoPlaceError("class_left_out", "")  # on request
        control = self._control(entry, found)
        changed = {**value, key: [c.value for c in found]}
        return {**entry, **control, "value": changed}

    def _class(self, name: object) -> LabelClass | None:
        if not isinstance(name, str) or name not in self._classes.by_name:
            raise _NoPlaceError(
                "unknown_label", f"a region has the class {str(name)[:80]!r}, which is no label."
            )
        return self._classes.by_name[name]

    def _bare(self, entry: Entry) -> Entry:
        """A shape without a label, or whose label another entry has."""
        for control in self._config.group.controls:
            if control.region_type == entry.get("type"):
                tag = _tag(control, control.name)
                same = tag.items() <= entry.items()
                return entry if same else {**entry, **tag}
        raise self._no_control(entry)

    def _control(self, entry: Entry, classes: Sequence[LabelClass]) -> Mapping[str, str]:
        """The tag that shows it: the one it has if that does, else the first of its kind."""
        kind = str(entry.get("type"))
        able = []
        for control in self._config.group.controls:
            is_labels = kind == LABELS_TYPE and control.region_type not in _LABEL_KEYS
            if not is_labels and control.region_type != kind:
                continue
            names = {control.labels_name_of(c.value) for c in classes} or {control.name}
            name = names.pop() if len(names) == 1 else ""
            if name:
                able.append((control, name))
        for control, name in able:
            if (entry.get("from_name"), entry.get("to_name")) == (name, control.to_name):
                return {}
        if not able:
            raise self._no_control(entry)
        control, name = min(able, key=lambda one: preference(one[0].region_type))
        return _tag(control, name)

    def _no_control(self, entry: Entry) -> _NoPlaceError:
        kinds = ", ".join(dict.fromkeys(c.region_type for c in self._config.group.controls))
        return _NoPlaceError(
            "no_control",
            f"a region is of the type {entry.get('type')!r}; the labelling interface has {kinds} "
            "for its class.",
        )


class _NoPlaceError(Exception):
    """Why an entry is left out; "" where a person asked for it."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason, self.why = reason, why


def _typed(entry: Entry) -> Entry:
    """With its type, which JSON_MIN drops."""
    value = entry.get("value")
    if entry.get("type") is not None or not isinstance(value, dict):
        return entry
    shape = region_type_of_value(value)
    key = next((k for k in _LABEL_KEYS if k in value), shape.kind if shape is not None else None)
    return entry if key is None else {**entry, "type": key}


def _draws(entry: Entry) -> bool:
    kind = entry.get("type")
    return kind == LABELS_TYPE or region_type_by_name(kind) is not None


def _ends(relation: Entry) -> set[object]:
    return {relation.get("from_id"), relation.get("to_id")}


def _tag(control: Control, name: str) -> dict[str, str]:
    return {"from_name": name, "to_name": control.to_name}

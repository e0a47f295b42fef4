"""Stored predictions, as people are shown them: by the names that the interface has now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from active_learning.why import note_in_names_of
from converters.label_studio.relabel import in_present_names
from domain.labels import LabelGroup


def as_shown(result: Sequence[Any], group: LabelGroup) -> tuple[list[Any], tuple[str, ...]]:
    """A prediction as Label Studio is to show it, and the labels the interface lacks, each once.

    Labels are those of now, and so are the classes that notes name; a note about a class that is no
    more goes. Everything else stays.

    Args:
        result: Entries of Label Studio's JSON, by the names of a version; not changed.
        group: Its classes answer to their former names.
    """
    shown, lost = in_present_names(result, group)
    return [_with_notes_of_now(entry, group) for entry in shown], lost


def notes_of(result: Sequence[Any]) -> list[str]:
    """What is said with the regions of a prediction, in their order."""
    return [note for entry in result for note in _notes_of(entry)]


def _notes_of(entry: Any) -> list[str]:
    meta = entry.get("meta") if isinstance(entry, Mapping) else None
    notes = meta.get("text") if isinstance(meta, Mapping) else None
    return [n for n in notes if isinstance(n, str)] if isinstance(notes, list) else []


def _with_notes_of_now(entry: Any, group: LabelGroup) -> Any:
    def now(name: str) -> str | None:
        found = group.class_by_value(name)
        return (found.title or found.value) if found else None

    before = _notes_of(entry)
    notes = [note for old in before if (note := note_in_names_of(old, now)) is not None]
    if notes == before:
        return entry
    meta = {key: value for key, value in entry["meta"].items() if key != "text"}
    meta |= {"text": notes} if notes else {}
    rest = {key: value for key, value in entry.items() if key != "meta"}
    return {**rest, "meta": meta} if meta else rest

"""Pages: a task may show several images as pages of one object; nnloop reads the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.text import shown

OTHER_PAGE = "other_page"
"""Reason of what lies on another page than the first."""


def first_page(value: object) -> object:
    """A task's data field: of a list of pages the first, anything else as it is."""
    return value[0] if isinstance(value, list) and value else value


LISTED = "nnloop_listed"
"""Key in an entry from JSON_MIN, which drops the page: the task's data fields that hold lists."""


def other_page(entry: Mapping[str, Any], image_key: str) -> str:
    """Which page an entry of a result lies on, in words; "" on the first.

    Label Studio counts ``item_index`` from 0, people from 1; a task without pages has none.
    """
    value = entry.get("value")
    index = entry.get("item_index", value.get("item_index") if isinstance(value, dict) else None)
    if index is None and image_key in entry.get(LISTED, ()):
        return "a page that JSON_MIN lost"
    if index in (None, 0, "0"):
        return ""
    is_plain = isinstance(index, int) and abs(index) < 10**9
    return f"page {int(index) + 1}" if is_plain else f"the page {shown(index)}"

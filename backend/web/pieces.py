"""Large bodies cut into their tasks: each is parsed by itself, what nobody reads is passed over.

Parsed as a whole, 59 MiB of small tasks took gigabytes, and nothing else was answered for a minute.
Here the bytes are walked through by brackets. No more than one task is parsed at once, of a task
only the members that are read, and other threads come to their turn in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

MAX_PIECES = 20_000
"""Most tasks of one body. The largest request of Label Studio's that was seen had 1,000."""

MAX_VALUES = 500_000
"""Most values of one member that is read: 100 MB when parsed. An image's data are a handful."""

# Everything up to the next bracket: strings as wholes, and lists of numbers, most of a body.
_FLAT = re.compile(
    rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|\[[-+0-9.eE,\s]*+\])*+', re.DOTALL
)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb'[^,\]}\s"\[{]++')


class NotJsonError(ValueError):
    """The body is no JSON."""


class TooManyError(ValueError):
    """The body has more tasks, or more values, than are taken."""


def members_of(
    body: bytes | bytearray,
    wanted: Mapping[str, type[BaseModel] | None],
    *,
    is_hint: bool = False,
) -> dict[str, Any]:
    """The members of a JSON object that are wanted, parsed; of equal names the last.

    Args:
        body: the JSON.
        wanted: the names that are read; with a model those whose value, or each element of a list
            there, becomes one.
        is_hint: what is too much is left out instead of refused.

    Raises:
        NotJsonError: it is no JSON object.
        TooManyError: it has more than ``MAX_PIECES`` elements to read, or ``MAX_VALUES`` values.
        pydantic.ValidationError: a piece is not what its model asks for.
    """
    opened = {name for name, model in wanted.items() if model is not None}
    found: dict[str, Any] = {}
    n_pieces = 0
    for name, start, end, is_element in _members(body, _after_space(body, 0), opened):
        model = wanted.get(name)
        if name not in wanted:
            continue
        if start == end:  # a list begins: of two of one name the last counts
            found[name] = []
        elif model is None:
            found[name] = _parsed(body[start:end])
        elif is_element:
            n_pieces += 1
            if n_pieces <= MAX_PIECES:
                found[name].append(_piece(body, start, end, model))
            elif not is_hint:
                raise TooManyError(f"more than {MAX_PIECES:,} tasks")
        else:
            found[name] = _piece(body, start, end, model)
    return found


def _piece(body: bytes | bytearray, start: int, end: int, model: type[BaseModel]) -> Any:
    if body[start : start + 1] != b"{":
        return _parsed(body[start:end])
    fields = model.model_fields
    kept = {name: body[a:b] for name, a, b, _ in _members(body, start) if name in fields}
    return model.model_validate({name: _parsed(raw) for name, raw in kept.items()})


def _parsed(raw: bytes | bytearray) -> Any:
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise TooManyError(f"more than {MAX_VALUES:,} values in one place")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError among them
        raise NotJsonError(type(error).__name__) from None


def _members(
    body: bytes | bytearray, at: int, opened: Collection[str] = ()
) -> Iterator[tuple[str, int, int, bool]]:
    """(name, start, end, False) of the members of the object that begins at a place.

    A list of a name in ``opened`` gives an empty place, then its elements with True.
    """
    if body[at : at + 1] != b"{":
        raise NotJsonError("no object")
    at = _after_space(body, at + 1)
    if body[at : at + 1] == b"}":
        return
    while True:
        key = _STRING.match(body, at)
        colon = _after_space(body, key.end()) if key else 0
        if key is None or body[colon : colon + 1] != b":":
            raise NotJsonError("no member")
        raw = bytes(key.group())
        name = str(_parsed(raw)) if b"\\" in raw else raw[1:-1].decode("utf-8", "replace")
        at = _after_space(body, colon + 1)
        if name in opened and body[at : at + 1] == b"[":
            yield name, at, at, False
            at = _after_space(body, at + 1)
            while body[at : at + 1] != b"]":
                end = _end_of(body, at)
                yield name, at, end, True
                at = _after_space(body, end)
                if body[at : at + 1] != b"]":
                    at = _after_comma(body, at)
            at += 1
        else:
            end = _end_of(body, at)
            yield name, at, end, False
            at = end
        at = _after_space(body, at)
        if body[at : at + 1] == b"}":
            return
        at = _after_comma(body, at)


def _end_of(body: bytes | bytearray, at: int) -> int:
    """Where the value that begins at a place ends."""
    first = body[at : at + 1]
    if first not in (b"[", b"{"):
        found = (_STRING if first == b'"' else _SCALAR).match(body, at)
        if found is None:
            raise NotJsonError("no value")
        return found.end()
    depth = 0
    while True:
        token = body[at : at + 1]
        if not token or token == b'"':  # the end, or a string that never ends
            raise NotJsonError("cut short")
        depth += 1 if token in (b"[", b"{") else -1
        at += 1
        if depth == 0:
            return at
        found = _FLAT.match(body, at)
        at = found.end() if found else at


def _after_space(body: bytes | bytearray, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found else at


def _after_comma(body: bytes | bytearray, at: int) -> int:
    if body[at : at + 1] != b",":
        raise NotJsonError("no comma")
    return _after_space(body, at + 1)

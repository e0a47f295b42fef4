"""Documents: frozen dataclasses as JSON, with one writer and one reader for all of them.

A document that is kept for long has a field ``form: Literal[1]``: one of another form is refused,
not misread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from converters.bookkeeping.files import read_json, write_json
from domain.errors import DocumentError
from domain.text import one_line

Kind = TypeVar("Kind")

_adapter: Callable[[Any], TypeAdapter[Any]] = functools.cache(TypeAdapter)

_FAULTS = 3
"""Told of a document that can't be read; the others mostly say the same."""

_SHOWN = 60
"""Characters of a value that is told of."""


def to_json(kind: type[Kind], document: Kind) -> Any:
    """The JSON value of a document, which ``from_json`` reads back."""
    return _adapter(kind).dump_python(document, mode="json", warnings="error")


def from_json(kind: type[Kind], value: object) -> Kind:
    """Reads what ``to_json`` wrote; a document comes back as it is.

    Args:
        kind: A dataclass, a pydantic model, or a container of them (``dict[int, LeftOut]``).
        value: A JSON value.

    Raises:
        DocumentError: It is not of this kind; the message names the places.
    """
    try:
        document: Kind = _adapter(kind).validate_python(value)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'all of it'}: {fault['msg']}, "
            f"got {one_line(repr(fault['input']), _SHOWN)}"
            for fault in error.errors(include_url=False)
        ]
        raise DocumentError(
            f"A stored {getattr(kind, '__name__', kind)} can't be read: "
            f"{'; '.join(faults[:_FAULTS])}.",
            remedy="Use the release of nnloop that wrote it, or restore the data folder and its "
            "database from a backup.",
        ) from error
    return document


def write_document(path: Path, kind: type[Kind], document: Kind) -> None:
    """Writes a document as indented JSON, atomically."""
    write_json(path, to_json(kind, document))


def read_document(path: Path, kind: type[Kind]) -> Kind:
    """The document in a file.

    Raises:
        DocumentError: It is no JSON, or not of this kind.
        OSError: There is no such file.
    """
    try:
        value = read_json(path)
    except (ValueError, RecursionError) as error:
        raise DocumentError(
            f"{path.name} is no JSON: {error}", remedy="Restore it from a backup."
        ) from error
    return from_json(kind, value)

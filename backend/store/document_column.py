"""A column that holds a document: the one place where a row's JSON is read and written."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from sqlalchemy import JSON, Dialect
from sqlalchemy.types import TypeDecorator

from converters.bookkeeping.documents import from_json, to_json

Kind = TypeVar("Kind")


class DocumentColumn(TypeDecorator[Kind], Generic[Kind]):
    """JSON in the database, a document of one kind in Python; None stays None.

    What does not fit is refused with a DocumentError, on its way in and on its way out.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, kind: type[Kind]) -> None:
        """Takes the kind, as ``converters.bookkeeping.documents`` reads it."""
        super().__init__(none_as_null=True)
        self.kind = kind

    def process_bind_param(self, value: Kind | None, dialect: Dialect) -> Any:
        """To the database."""
        return None if value is None else to_json(self.kind, from_json(self.kind, value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Kind | None:
        """From the database."""
        return None if value is None else from_json(self.kind, value)

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Paths into the document are compared as plain JSON."""
        return self.impl_instance.coerce_compared_value(op, value)

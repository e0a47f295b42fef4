"""SQL that stores of many tests compile once."""

from __future__ import annotations

from sqlalchemy import Dialect, Engine
from sqlalchemy.engine.interfaces import CompiledCacheType

_dialects: dict[str, Dialect] = {}
_compiled: CompiledCacheType = {}


def share_statements(engine: Engine) -> None:
    """Lets an engine use the statements that other engines of the process have compiled.

    A process of nnloop opens one store and compiles each statement once; every test opens its own,
    and would compile them all again, a third of its time. The cache asks for the same dialect.
    """
    if engine.name not in _dialects:
        # What it asks a database when it first meets one.
        engine.connect().close()
        _dialects[engine.name] = engine.dialect
    engine.dialect = _dialects[engine.name]
    engine.update_execution_options(compiled_cache=_compiled)

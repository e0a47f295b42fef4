"""SQL that stores of many tests compile once, and a store that many use one after the other."""

from __future__ import annotations

from sqlalchemy import Dialect, Engine, text
from sqlalchemy.engine.interfaces import CompiledCacheType

from backend.store.all_tables import TABLES

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


def empty(engine: Engine) -> None:
    """Deletes every row of a store in PostgreSQL, and numbers rows from 1 again."""
    with engine.begin() as connection:
        numbers = connection.scalars(text("SELECT sequencename FROM pg_sequences")).all()
        # A tenth of the time that TRUNCATE takes. References are not looked at meanwhile.
        steps = ["SET LOCAL session_replication_role = replica"]
        steps += [f'DELETE FROM "{table.name}"' for table in TABLES]
        steps += [f'ALTER SEQUENCE "{name}" RESTART' for name in numbers]
        connection.exec_driver_sql(";".join(steps))

"""The store in a backup: always one SQLite file, so that it can be restored into any database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, func, insert, select, text

from backend.store import Store
from backend.store.all_tables import TABLES
from backend.store.database import READS_ONLY
from domain.errors import FileFormatError

_ROWS = 1000

_COUNTED = {
    "projects": "SELECT count(*) FROM project",
    "tasks": "SELECT count(*) FROM task WHERE removed_at IS NULL",
    "annotations": "SELECT count(*) FROM annotation WHERE removed_at IS NULL",
    "runs": "SELECT count(*) FROM training_run",
    "versions": "SELECT count(*) FROM model_version WHERE pruned_at IS NULL",
    "predictions": "SELECT count(*) FROM prediction",
}


class SavedVersion(NamedTuple):
    """A version that has its weights."""

    id: int
    project_id: int
    name: str


@dataclass(frozen=True, slots=True)
class SavedStore:
    """What a store holds, in brief.

    Attributes:
        revision: Of its tables.
        counts: Rows of people's interest, by plural noun.
        projects: Their ids.
        versions: Those that are not pruned, oldest first.
    """

    revision: str
    counts: Mapping[str, int]
    projects: tuple[int, ...]
    versions: tuple[SavedVersion, ...]

    @classmethod
    def read(cls, file: Path) -> SavedStore:
        """Reads a SQLite file; raises FileFormatError when it is damaged or no store of nnloop."""
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as ours:
                (verdict,) = ours.execute("PRAGMA integrity_check(1)").fetchone()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)
                (revision,) = ours.execute("SELECT version_num FROM alembic_version").fetchone()
                return cls(
                    revision,
                    {noun: ours.execute(query).fetchone()[0] for noun, query in _COUNTED.items()},
                    tuple(row[0] for row in ours.execute("SELECT id FROM project ORDER BY id")),
                    tuple(
                        SavedVersion(*row)
                        for row in ours.execute(
                            "SELECT id, project_id, name FROM model_version "
                            "WHERE pruned_at IS NULL ORDER BY id"
                        )
                    ),
                )
        except (sqlite3.Error, TypeError) as error:
            raise FileFormatError(
                f"The store in the backup can't be read: {error}.", remedy="Use another backup."
            ) from None


def copy_store(engine: Engine, file: Path) -> None:
    """Copies a store, as it is at one moment, to a new SQLite file.

    Raises:
        OSError, sqlite3.OperationalError: The file can't be written, or the disk is full.
    """
    if engine.dialect.name == "sqlite":
        with (
            closing(sqlite3.connect(str(engine.url.database))) as ours,
            closing(sqlite3.connect(file)) as copy,
        ):
            # In one step: writers may go on, and what they write comes after.
            ours.backup(copy)
        return
    copied = Store(f"sqlite:///{file}", file.parent)
    try:
        copied.migrate()
        _copy_rows(engine, copied.engine)
    finally:
        copied.close()


def fill_store(file: Path, engine: Engine) -> None:
    """Copies the rows of a SQLite store into an empty one, in one transaction.

    Both have the newest tables.
    """
    saved = Store(f"sqlite:///{file}", file.parent)
    try:
        _copy_rows(saved.engine, engine)
    finally:
        saved.close()


def _copy_rows(source: Engine, target: Engine) -> None:
    with (
        source.connect().execution_options(**{READS_ONLY: True}) as reading,
        target.begin() as writing,
    ):
        for table in TABLES:
            rows = reading.execute(select(table), execution_options={"yield_per": _ROWS})
            for part in rows.mappings().partitions(_ROWS):
                writing.execute(insert(table), [dict(row) for row in part])
            if target.dialect.name == "postgresql" and table.autoincrement_column is not None:
                column = table.autoincrement_column
                last = writing.scalar(select(func.max(column))) or 0
                writing.execute(
                    text("SELECT setval(pg_get_serial_sequence(:table, :column), :next, false)"),
                    {
                        "table": f'"{table.name}"',
                        "column": column.name,
                        "next": last + 1,
                    },
                )


def mark_pruned(file: Path, version_ids: Iterable[int]) -> None:
    """Notes in a SQLite store that the weights of versions are gone."""
    with closing(sqlite3.connect(file)) as store, store:
        store.executemany(
            "UPDATE model_version SET pruned_at = ? WHERE id = ?",
            [(time.time(), version_id) for version_id in version_ids],
        )

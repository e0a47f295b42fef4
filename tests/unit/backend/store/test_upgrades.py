"""A store of any release before comes through the upgrade whole, and stays beside it as it was."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import command
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    insert,
    select,
)

from backend.store import STORE_FILE, Store
from backend.store.models import ProjectRow
from backend.store.upgrade import COPIES_KEPT, alembic_config, known_revisions
from domain.errors import DiskFullError, StackError

BOOKKEEPING = "alembic_version"


def open_store(folder: Path) -> Store:
    return Store(f"sqlite:///{folder / STORE_FILE}", folder)


def bring_to(connection: Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


def value_of(column: Any, number: int) -> Any:
    """A value that fits the column and that no other row of the table has."""
    if column.foreign_keys or isinstance(column.type, Boolean):
        return number if column.foreign_keys else True
    kinds = {JSON: {"made": number}, LargeBinary: b"%d" % number, DateTime: None}
    for kind, value in kinds.items():
        if isinstance(column.type, kind):
            return value
    return number if isinstance(column.type, Integer | Float) else f"text {number}"


def write_rows(connection: Connection, number: int) -> dict[str, dict[str, Any]]:
    """One row in every table there is, all of whose numbers and texts are ``number``."""
    found = MetaData()
    found.reflect(connection)
    written = {}
    # The table of versions refers to itself and to runs: references are looked at in the end.
    for table in found.tables.values():
        if table.name != BOOKKEEPING:
            row = {column.name: value_of(column, number) for column in table.columns}
            connection.execute(insert(table).values(row))
            written[table.name] = row
    connection.commit()
    return written


def read_rows(connection: Connection, name: str) -> list[dict[str, Any]]:
    table = Table(name, MetaData(), autoload_with=connection)
    return [dict(row._mapping) for row in connection.execute(select(table))]


def test_rows_of_every_release_come_through(tmp_path: Path) -> None:
    """At each revision a row is written into each table; then the next revision is applied."""
    store, written = open_store(tmp_path), {}
    with store.engine.connect() as connection:
        connection.connection.execute("PRAGMA foreign_keys=OFF")
        for number, revision in enumerate(known_revisions(), start=1):
            bring_to(connection, revision)
            written[number] = write_rows(connection, number)
        for number, tables in written.items():
            for name, row in tables.items():
                kept = [
                    found
                    for found in read_rows(connection, name)
                    if all(found[key] == row[key] for key in row.keys() & found.keys())
                ]
                assert len(kept) == 1, f"the row of {name} written at revision {number} is gone"
        connection.rollback()
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    store.close()


def test_a_newer_store_is_refused_and_stays_as_it_is(
    tmp_path: Path, migrated_database: Path
) -> None:
    path = tmp_path / STORE_FILE
    shutil.copy(migrated_database, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    before, store = path.read_bytes(), open_store(tmp_path)
    with pytest.raises(StackError, match="newer nnloop: it is at revision 9999") as caught:
        store.migrate()
    assert "docs/upgrade.md" in caught.value.remedy
    store.close()
    assert path.read_bytes() == before


def older_store(folder: Path, revision: str) -> Store:
    """With one project, as a release before has left it."""
    store = open_store(folder)
    with store.engine.connect() as connection:
        bring_to(connection, revision)
        connection.connection.execute("PRAGMA foreign_keys=OFF")
        write_rows(connection, 1)
    return store


def test_the_store_of_before_stays_beside_the_upgraded_one(tmp_path: Path) -> None:
    *_, before, _newest = known_revisions()
    store = older_store(tmp_path, before)
    for name in ("nnloop-0001.db", "nnloop-0002.db", "somebody.db"):
        (tmp_path / "upgrades").mkdir(exist_ok=True)
        (tmp_path / "upgrades" / name).write_bytes(b"")
    store.migrate()
    store.migrate()  # nothing to do, and nothing is copied
    store.close()
    kept = {path.name for path in (tmp_path / "upgrades").iterdir()}
    assert kept == {f"nnloop-{before}.db", "nnloop-0002.db", "somebody.db"}
    assert len(kept) == COPIES_KEPT + 1
    # What the page says: it takes the store's place, and the older release goes on with it.
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(tmp_path / "upgrades" / f"nnloop-{before}.db", again / STORE_FILE)
    with closing(sqlite3.connect(again / STORE_FILE)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(before,)]
        assert database.execute("SELECT count(*) FROM project").fetchone() == (1,)
    restored = open_store(again)
    restored.migrate()
    with restored.begin() as session:
        assert session.query(ProjectRow).count() == 1
    restored.close()


def test_an_empty_store_is_not_copied(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.engine.connect() as connection:
        bring_to(connection, known_revisions()[-2])
    store.migrate()
    store.close()
    assert not (tmp_path / "upgrades").exists()


def test_the_log_beside_the_store_needs_room_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, before, _newest = known_revisions()
    store = older_store(tmp_path, before)
    path = store.engine.url.database
    assert path
    with closing(sqlite3.connect(path)) as writer:
        # As after a long reading, which keeps the log from being taken over.
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE large (text)")
        writer.execute("INSERT INTO large VALUES (zeroblob(20000000))")
        writer.commit()
        assert Path(path).stat().st_size < 1_000_000
        room = SimpleNamespace(total=10**9, used=0, free=10**7)
        monkeypatch.setattr("backend.store.upgrade.shutil.disk_usage", lambda _: room)
        with pytest.raises(DiskFullError, match="10 MB are free"):
            store.migrate()
    store.close()


def test_a_disk_that_fills_while_it_is_copied_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    *_, before, _newest = known_revisions()
    store = older_store(tmp_path, before)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(DiskFullError, match="can't be copied"):
            store.migrate()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with store.engine.connect() as connection:
        assert read_rows(connection, BOOKKEEPING) == [{"version_num": before}]
    assert list((tmp_path / "upgrades").iterdir()) == []
    store.close()


def test_without_room_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, before, _newest = known_revisions()
    store = older_store(tmp_path, before)
    full = SimpleNamespace(total=10, used=9, free=1)
    monkeypatch.setattr("backend.store.upgrade.shutil.disk_usage", lambda _: full)
    with pytest.raises(DiskFullError, match="0 MB are free"):
        store.migrate()
    with store.engine.connect() as connection:
        assert read_rows(connection, BOOKKEEPING) == [{"version_num": before}]
    store.close()

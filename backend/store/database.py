"""The store's connection: engine, sessions, migrations."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from backend.store import clock
from backend.store.upgrade import upgrade
from domain.errors import DocumentError, StackError
from domain.text import counted, one_line

# One writer is let in at a time; the others wait this long before they fail.
BUSY_S = 30

# PostgreSQL gives up a transaction that says nothing for so long: its machine may be gone, and the
# others wait for it. No transaction of nnloop waits for a network.
_SILENT_S = 60

# Any number that nothing else locks in nnloop's database.
_TURN = 0x6E6E6C6F6F70

STORE_FILE = "nnloop.db"
"""SQLite's, in a data folder."""

READS_ONLY = "nnloop_reads_only"
"""Option of a connection: what it does sees one state, changes nothing, holds up no writer."""


class Store:
    """One database. Thread-safe; every process opens its own."""

    def __init__(self, url: str, lock_dir: Path) -> None:
        """Takes the database's URL; raises StackError when it is none, or its driver is missing."""
        self._url = url
        self._lock_dir = lock_dir
        try:
            self._engine = _engine(url)
        except (ArgumentError, ImportError) as error:
            # Not the error's own words: they may repeat the URL, which holds a password.
            what = f"no module {error.name!r}" if isinstance(error, ImportError) else "no such URL"
            raise StackError(
                f"The store of NNLOOP_DATABASE_URL can't be opened: {what}.",
                remedy="Write e.g. postgresql+psycopg://USER:PASSWORD@HOST/NAME, and install "
                "that driver (pip install 'psycopg[binary]').",
            ) from None
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    def __repr__(self) -> str:
        return f"Store({make_url(self._url).render_as_string(hide_password=True)!r})"

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine."""
        return self._engine

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session that commits at the end of the block and rolls back on an error.

        Such transactions never overlap, whichever database and machine: what one has looked up
        stays so until it ends.
        """
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reports: sees one state, changes nothing, and holds up no writer."""
        with self._sessions() as session:
            session.connection(execution_options={READS_ONLY: True})
            yield session

    def migrate(self) -> None:
        """Brings the tables to the newest revision; safe to call from many processes at once.

        Raises:
            StackError: It can't be opened, or a newer nnloop has written it.
            DiskFullError: There is no room for the upgrade.
        """
        self._lock_dir.mkdir(parents=True, exist_ok=True)
        try:
            with (
                FileLock(self._lock_dir / "migrate.lock"),
                self._engine.connect() as connection,
            ):
                upgrade(connection, self._lock_dir)
        except SQLAlchemyError as error:
            raise StackError(
                f"The store {self!r} can't be opened: {type(error).__name__}.",
                remedy="Check NNLOOP_DATABASE_URL, and that NNLOOP_DATA_DIR is writable.",
            ) from error

    def close(self) -> None:
        """Releases the connections."""
        self._engine.dispose()


def require_moved(store: Store, data_dir: Path) -> None:
    """Looks that another database was not put in SQLite's place and its projects left behind.

    Raises StackError where the store has no project and the data folder's SQLite has some.
    """
    file, query = data_dir / STORE_FILE, "SELECT count(*) FROM project"
    if not file.is_file():
        return
    with store.read() as session:
        if session.scalar(text(query)):
            return
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as left:
            (n,) = left.execute(query).fetchone()
    except sqlite3.Error:
        return
    if n:
        raise StackError(
            f"The database of NNLOOP_DATABASE_URL is empty, and {file} has "
            f"{counted(n, 'project')}.",
            remedy="Move it there (docs/backup.md#into-postgresql), or unset NNLOOP_DATABASE_URL.",
        )


def copy_database(source: Path, target: Path) -> bool:
    """Copies a SQLite database as it is now; nothing beside it changes, and it need not be ours.

    Args:
        source: Its file.
        target: The copy's.

    Returns:
        Whether there is one.

    Raises:
        OSError: It can't be read, or not be copied.
    """
    if not source.is_file():
        return False
    log, log_copy = (path.with_name(f"{path.name}-wal") for path in (source, target))
    if log.is_file() and log.stat().st_size:
        # Somebody has it open, or was killed: SQLite itself copies one moment of it, where it may.
        try:
            with (
                closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as ours,
                closing(sqlite3.connect(target)) as copy,
            ):
                ours.backup(copy)
        except sqlite3.Error:
            target.unlink(missing_ok=True)
        else:
            return True
        shutil.copyfile(log, log_copy)
    shutil.copyfile(source, target)
    return True


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return _server_engine(url)
    # Parameters stay out of error messages: task data hold signed addresses of images.
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_S},
        hide_parameters=True,
        json_deserializer=_from_json,
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _server_engine(url: str) -> Engine:
    engine = create_engine(
        url, pool_pre_ping=True, hide_parameters=True, json_deserializer=_from_json
    )
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _configure_postgresql)
        event.listen(engine, "begin", _begin_in_turn)
        event.listen(engine, "before_cursor_execute", _without_nul, retval=True)
    return engine


def _configure_postgresql(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_SILENT_S}s'")
    cursor.execute(f"SET lock_timeout = '{BUSY_S}s'")
    cursor.close()
    connection.commit()


def _begin_in_turn(connection: Connection) -> None:
    # As SQLite's write lock: two that look up and then insert would both find nothing.
    if connection.get_execution_options().get(READS_ONLY, False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    else:
        # On the way, once the turn has come: what the clock of all machines says.
        turn = "SELECT extract(epoch FROM clock_timestamp())::float8 FROM pg_advisory_xact_lock(%s)"
        said = connection.exec_driver_sql(turn, (_TURN,))
        clock.set_by_server(said.scalar_one())


def _without_nul(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """PostgreSQL's text holds no NUL, which a name from elsewhere may."""
    return statement, _cleaned(parameters)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in value else value
    if isinstance(value, dict):
        return {name: _cleaned(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cleaned(one) for one in value)
    return value


def _from_json(text: str) -> Any:
    """A column's JSON. What has no value is NULL; JSON's own null is never written."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        value, why = None, str(error)
    else:
        why = "it is null"
    if value is None:
        raise DocumentError(
            f"A stored document is no JSON: {why}, got {one_line(text, 60)!r}.",
            remedy="Restore the database from a backup.",
        )
    return value


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions of its own: BEGIN IMMEDIATE below does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once when another process
    # wrote in between (BUSY_SNAPSHOT, not subject to the timeout); taking the write lock
    # at the start waits instead.
    reads_only = connection.get_execution_options().get(READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

"""Brings the tables of a store to the newest revision, and keeps the store as it was before."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from domain.errors import DiskFullError, StackError

log = logging.getLogger(__name__)

COPIES_KEPT = 2
"""Stores as they were before the last upgrades; older ones go."""

_FOLDER = "upgrades"

# A revision copies the largest tables, and SQLite's log holds them once more.
_ROOM = 3


def alembic_config() -> Config:
    """Alembic's configuration without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def known_revisions() -> tuple[str, ...]:
    """Every revision this release knows, the oldest first."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return tuple(script.revision for script in scripts.walk_revisions())[::-1]


def upgrade(connection: Connection, folder: Path) -> None:
    """Brings the tables to the newest revision; what is there already stays as it is.

    Args:
        connection: To the store. It is committed.
        folder: The data folder; a SQLite store with projects is copied there first.

    Raises:
        StackError: A newer nnloop has written the store.
        DiskFullError: There is no room for the copy and the upgrade.
        SQLAlchemyError: The store can't be read or changed.
        OSError: The copy can't be written.
    """
    config, known = alembic_config(), known_revisions()
    config.attributes["connection"] = connection
    found, newest = MigrationContext.configure(connection).get_current_revision(), known[-1]
    connection.rollback()  # nothing was written
    if found == newest:
        return  # as at nearly every start: the revisions are not gone through once more
    if found is not None and found not in known:
        raise StackError(
            f"The store was written by a newer nnloop: it is at revision {found}, this release "
            f"knows {newest} and before.",
            remedy="Use that release again, or the copy of before the upgrade (docs/upgrade.md).",
        )
    if found is not None:
        _keep(connection, found, folder / _FOLDER)
        log.info("The store goes from revision %s to %s.", found, newest)
    with _foreign_keys_off(connection):
        command.upgrade(config, "head")
        connection.commit()


def _keep(connection: Connection, revision: str, folder: Path) -> None:
    """Copies a SQLite store that has projects, and lets older copies go."""
    path = connection.engine.url.database
    if connection.dialect.name != "sqlite" or not path or not Path(path).is_file():
        return
    has_projects = connection.scalar(text("SELECT count(*) FROM project"))
    connection.rollback()
    if not has_projects:
        return
    folder.mkdir(parents=True, exist_ok=True)
    # What was written last stands in a log beside it, which may be larger than the store.
    parts = [part for part in (Path(path), Path(f"{path}-wal")) if part.is_file()]
    n_bytes, free = sum(part.stat().st_size for part in parts), shutil.disk_usage(folder).free
    if free < _ROOM * n_bytes:
        raise DiskFullError(
            f"The store can't be upgraded: {free / 1e6:.0f} MB are free where {folder} is.",
            remedy=f"Make room: {_ROOM * n_bytes / 1e6:.0f} MB are needed.",
        )
    target = folder / f"nnloop-{revision}.db"
    half = target.with_suffix(".half")
    half.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path)) as ours, closing(sqlite3.connect(half)) as copy:
            ours.backup(copy)
    except sqlite3.OperationalError as error:
        half.unlink(missing_ok=True)
        raise DiskFullError(
            f"The store can't be copied to {folder}, so it was not upgraded: {error}.",
            remedy="Make room, or the folder writable; then start nnloop again.",
        ) from error
    half.replace(target)
    named = (p for p in folder.iterdir() if re.fullmatch(r"nnloop-\w+\.db", p.name))
    for old in sorted(named, key=lambda p: (p.stat().st_mtime, p.name))[:-COPIES_KEPT]:
        old.unlink()


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by dropping the old one, which its references would forbid.

    The pragma works outside of transactions only, so it goes to the driver.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")

"""A project that is disconnected leaves nothing in the store, whichever tables there are."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from backend.store.all_tables import TABLES
from backend.store.forget import forget_project
from backend.store.models import ProjectRow
from tests.unit.backend.store.test_upgrades import open_store, write_rows


def test_no_row_of_a_forgotten_project_stays_and_no_other_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.migrate()
    with store.engine.connect() as connection:
        connection.connection.execute("PRAGMA foreign_keys=OFF")
        write_rows(connection, 1)  # all of project 1, refer to rows 1
        write_rows(connection, 2)
        connection.rollback()
        connection.connection.execute("PRAGMA foreign_keys=ON")
    # The documents of these rows are none: they are never read here.
    with store.engine.begin() as connection, Session(connection) as session:
        forget_project(session, 1)
        session.flush()
        left = {
            table.name: connection.scalar(text(f'SELECT count(*) FROM "{table.name}"'))
            for table in TABLES
        }
        assert session.scalars(select(ProjectRow.id)).all() == [2]
    store.close()
    assert left == {table.name: 1 for table in TABLES}

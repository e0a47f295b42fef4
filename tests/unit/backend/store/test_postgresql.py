"""What PostgreSQL does otherwise than SQLite. The tests beside this run on it, too, in CI."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BigInteger, Integer, inspect, select, text
from sqlalchemy.exc import DBAPIError

from backend.backup.saved_store import copy_store, fill_store
from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.store import Store, projects
from backend.store import database as module
from backend.store.all_tables import TABLES
from backend.store.models import AnnotationRow, Base, InboxRow, ProjectRow, TaskRow
from backend.store.tasks import snapshots
from domain.annotation import Annotation, Task
from domain.errors import StackError
from tests.fakes.label_studio import polygon
from tests.fakes.statements import empty

_LARGE = 5_000_000_000


@pytest.fixture
def store(empty_postgresql: str, tmp_path: Path) -> Iterator[Store]:
    store = Store(empty_postgresql, tmp_path)
    with store.begin() as session:
        session.add(ProjectRow(id=1, title="Carotid"))
    yield store
    store.close()


def test_the_tables_are_those_of_the_models(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        inspector = inspect(connection)
        for table in TABLES:
            for column in inspector.get_columns(table.name):
                if isinstance(column["type"], Integer):
                    assert isinstance(column["type"], BigInteger), (table.name, column["name"])


def test_ids_may_be_large(store: Store) -> None:
    with store.begin() as session:
        session.add(TaskRow(id=_LARGE, project_id=1))
        session.add(AnnotationRow(id=_LARGE + 1, task_id=_LARGE, project_id=1, content_hash="x"))
    with store.read() as session:
        assert session.scalar(select(AnnotationRow.task_id)) == _LARGE


def test_a_nul_from_elsewhere_breaks_nothing(store: Store) -> None:
    with store.begin() as session:
        session.add(TaskRow(id=1, project_id=1, data={"image": "a\0b", "k\0": ["\0"]}))
        session.get_one(ProjectRow, 1).title = "Caro\0tid"
        projects.report_problem(session, 1, "sync", projects.Fault("odd", "It was \0."))
    with store.read() as session:
        assert session.get_one(ProjectRow, 1).title == "Caro\N{REPLACEMENT CHARACTER}tid"
        assert session.get_one(TaskRow, 1).data["image"] == "a\0b"  # JSON has a word for it


def test_who_looks_first_and_writes_then_is_alone(store: Store, tmp_path: Path) -> None:
    """As many as the webhooks, the readings and the predictions of several machines."""
    tasks = [
        Task(i, 1, {"image": f"{i}.png"}, (Annotation(100 + i, i, [polygon()]),)) for i in range(20)
    ]
    errors: list[Exception] = []
    start = threading.Barrier(8)

    def read() -> None:
        own = Store(str(store.engine.url.render_as_string(hide_password=False)), tmp_path)
        start.wait()
        for _ in range(5):
            try:
                with own.begin() as session:
                    snapshots.write_tasks(session, 1, tasks, ("image",))
                    row = session.get_one(ProjectRow, 1)
                    row.n_channels += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one too many
                errors.append(error)
        own.close()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with store.read() as session:
        assert session.get_one(ProjectRow, 1).n_channels == 40  # none was lost
        assert len(session.scalars(select(AnnotationRow)).all()) == 20


def test_a_report_sees_one_state_and_holds_up_nobody(store: Store) -> None:
    with store.read() as session:
        before = session.scalars(select(InboxRow)).all()
        with store.begin() as other:
            projects.add_hint(other, 1, "A", [])
        assert session.scalars(select(InboxRow)).all() == before == []
    with store.read() as session, pytest.raises(DBAPIError):
        session.execute(text("DELETE FROM inbox"))


def test_a_vanished_writer_holds_up_nobody_for_ever(
    empty_postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 1)
    gone, other = Store(empty_postgresql, tmp_path), Store(empty_postgresql, tmp_path)
    session = gone._sessions()
    session.add(ProjectRow(id=1, title="half"))
    session.flush()  # and nothing more is heard of its machine
    with other.begin() as later:
        later.add(ProjectRow(id=1, title="whole"))
    with other.read() as later:
        assert later.get_one(ProjectRow, 1).title == "whole"
    with pytest.raises(DBAPIError):
        session.commit()
    session.close()
    for store in (gone, other):
        store.close()


def test_rows_go_to_sqlite_and_back(store: Store, tmp_path: Path) -> None:
    with store.begin() as session:
        session.add(TaskRow(id=_LARGE, project_id=1, data={"image": "a\0b"}))
        for _ in range(3):
            projects.add_hint(session, 1, "A", [1, 2])
    with store.engine.connect() as connection:
        before = {table.name: connection.execute(select(table)).all() for table in TABLES}
    copy_store(store.engine, tmp_path / "copy.db")
    empty(store.engine)
    fill_store(tmp_path / "copy.db", store.engine)
    with store.engine.connect() as connection:
        after = {table.name: connection.execute(select(table)).all() for table in TABLES}
    assert after == before
    with store.begin() as session:
        projects.add_hint(session, 1, "next", [])  # numbered after those that came with it
    with store.read() as session:
        assert session.scalars(select(InboxRow.id).order_by(InboxRow.id)).all() == [1, 2, 3, 4]


def test_projects_are_not_left_behind_in_sqlite(
    empty_postgresql: str, tmp_path: Path, migrated_database: Path
) -> None:
    settings = Settings.load(data_dir=tmp_path, database_url=empty_postgresql, redis_url="")
    shutil.copy(migrated_database, tmp_path / "nnloop.db")
    AppContext.open(settings).store.close()  # an empty one has nothing to leave
    left = Store(f"sqlite:///{tmp_path / 'nnloop.db'}", tmp_path)
    with left.begin() as session:
        session.add(ProjectRow(id=1, title="Carotid"))
    left.close()
    with pytest.raises(StackError, match=r"is empty, and .* has 1 project"):
        AppContext.open(settings)
    store = Store(empty_postgresql, tmp_path)
    with store.begin() as session:
        session.add(ProjectRow(id=1, title="Carotid"))
    store.close()
    AppContext.open(settings).store.close()

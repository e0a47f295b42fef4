from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from backend.store import Store
from backend.store.models import Base, CaseRow, FoldRow, InboxRow, PredictionRow, RunRow, VersionRow
from backend.store.upgrade import alembic_config
from domain.errors import StackError

ROOT = Path(__file__).resolve().parents[4]


def _open(folder: Path) -> Store:
    return Store(f"sqlite:///{folder / 'nnloop.db'}", folder)


def test_the_migrations_make_the_tables_of_the_models(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.migrate()
    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
        # Constraint names must agree too: a later migration changes them by name.
        inspector = inspect(connection)
        for table in Base.metadata.sorted_tables:
            found = {c["name"] for c in inspector.get_unique_constraints(table.name)}
            found |= {c["name"] for c in inspector.get_foreign_keys(table.name)}
            found.add(inspector.get_pk_constraint(table.name)["name"])
            wanted = {str(c.name) for c in table.constraints if c.name}
            assert {str(name) for name in found} == wanted
    store.migrate()  # again: nothing to do
    store.close()


@pytest.mark.slow
def test_downgrade_leaves_nothing(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.migrate()
    with store.engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert inspect(store.engine).get_table_names() == ["alembic_version"]
    store.migrate()
    assert "task" in inspect(store.engine).get_table_names()
    store.close()


@pytest.mark.slow
def test_processes_may_migrate_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from backend.store import Store\n"
        "folder = Path(sys.argv[1])\n"
        "Store(f'sqlite:///{folder}/nnloop.db', folder).migrate()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    store = _open(tmp_path)
    assert "training_run" in inspect(store.engine).get_table_names()
    store.close()


def test_a_store_that_can_not_be_opened_is_one_sentence(tmp_path: Path) -> None:
    store = Store("sqlite:////nowhere/at/all/nnloop.db", tmp_path)
    with pytest.raises(StackError, match="can't be opened") as caught:
        store.migrate()
    assert caught.value.remedy


@pytest.mark.parametrize(
    "url", ["postgresql+nodriver://u:pa55@h/n", "pa55 is no url", "oracle+nothing://u:pa55@h/n"]
)
def test_an_unusable_url_is_one_sentence_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StackError, match="NNLOOP_DATABASE_URL") as caught:
        Store(url, tmp_path)
    assert "pa55" not in str(caught.value) + caught.value.remedy
    assert caught.value.__suppress_context__


def test_repr_hides_the_password(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store._url = "postgresql://u:secret@h/n"
    assert "secret" not in repr(store)


def test_rows_of_the_first_release_survive(tmp_path: Path) -> None:
    store = _open(tmp_path)
    with store.engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in (
            "INSERT INTO \"case\" VALUES (1, 'task_1', 1, 's', 'f', 0, '[]')",
            "INSERT INTO training_run (id, project_id, number, status, trigger, candidates, "
            "settings, seconds, error, attempts, lease_until, not_before, created_at, "
            "stage_started_at) VALUES (7, 1, 1, 'done', '', '{}', '{}', '{}', '', 0, 0, 0, 0, 0)",
            "INSERT INTO fold_result (run_id, fold, status, epoch, epochs, device, worker, error, "
            "attempts, lease_until) VALUES (7, 0, 'done', 1, 1, 'cpu', '', '', 1, 0)",
            "INSERT INTO model_version (id, project_id, run_id, name, status, path, metrics, "
            "created_at) VALUES (3, 1, 7, 'nnloop-v1', 'champion', '/v', '{}', 0)",
            "INSERT INTO prediction (project_id, task_id, version_id, score, result, uncertainty, "
            "error, created_at) VALUES (1, 1, 3, 0.5, '[]', '{}', '', 0)",
        ):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(
            "INSERT INTO inbox (id, project_id, action, task_ids, received_at) "
            "VALUES (1, 1, 'START_TRAINING', '[]', 0)"
        )
        connection.commit()
    store.migrate()
    with store.begin() as session:
        version = session.get_one(VersionRow, 3)
        assert (version.run_id, version.origin, version.size_bytes) == (7, "trained", 0)
        assert (session.get_one(RunRow, 7).control, session.get_one(RunRow, 7).note) == ("run", "")
        assert session.get_one(InboxRow, 1).overrides == {}
        assert [row.run_id for row in session.query(FoldRow)] == [7]
        assert [row.version_id for row in session.query(PredictionRow)] == [3]
        assert [row.case_id for row in session.query(CaseRow)] == ["task_1"]
        assert session.execute(text("PRAGMA foreign_key_check")).all() == []
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
    store.close()

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from backend.store import Store
from backend.store.database import alembic_config
from backend.store.models import Base
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

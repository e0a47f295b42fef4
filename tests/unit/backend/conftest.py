from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from backend.store import Store
from tests.fakes.app import FakeApp
from tests.fakes.statements import empty
from tests.needed import ON_POSTGRESQL


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; migrating is the slow part, so it is done once and copied."""
    folder = tmp_path_factory.mktemp("migrated")
    store = Store(f"sqlite:///{folder / 'nnloop.db'}", folder)
    store.migrate()
    store.close()
    return folder / "nnloop.db"


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a migrated store in a real PostgreSQL."""
    store = Store(postgresql, tmp_path_factory.mktemp("postgresql"))
    store.migrate()
    store.close()
    return postgresql


@pytest.fixture
def empty_postgresql(migrated_postgresql: str) -> str:
    """The URL of a migrated store without a row, in a real PostgreSQL."""
    engine = create_engine(migrated_postgresql)
    empty(engine)
    engine.dispose()
    return migrated_postgresql


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FakeApp]:
    """nnloop with project 1 connected, in a folder of its own."""
    database = request.getfixturevalue("empty_postgresql" if ON_POSTGRESQL else "migrated_database")
    fake = FakeApp(tmp_path, database)
    yield fake
    fake.store.close()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.store import Store
from tests.fakes.app import FakeApp


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; migrating is the slow part, so it is done once and copied."""
    folder = tmp_path_factory.mktemp("migrated")
    store = Store(f"sqlite:///{folder / 'nnloop.db'}", folder)
    store.migrate()
    store.close()
    return folder / "nnloop.db"


@pytest.fixture
def app(tmp_path: Path, migrated_database: Path) -> Iterator[FakeApp]:
    """nnloop with project 1 connected, in a folder of its own."""
    fake = FakeApp(tmp_path, migrated_database)
    yield fake
    fake.store.close()

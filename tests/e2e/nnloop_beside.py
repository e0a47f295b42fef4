"""nnloop in the test's own process, beside a real Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.label_studio import LabelStudioClient
from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.stack.label_studio_server import LabelStudioServer
from backend.store import Store
from tests.fakes.queue import FakeQueue


@contextmanager
def connected(
    client: LabelStudioClient, label_studio: LabelStudioServer, data_dir: Path
) -> Iterator[AppContext]:
    """An empty data folder whose Label Studio is the real one."""
    settings = Settings.load(
        data_dir=data_dir,
        database_url="",
        redis_url="",
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.credentials.token,
    )
    store = Store(settings.store_url, data_dir)
    store.migrate()
    opened = AppContext(settings, store, FakeQueue())
    opened.__dict__["label_studio"] = client
    yield opened
    store.close()

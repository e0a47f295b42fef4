from __future__ import annotations

import pytest

from backend.pipeline.sync.reading import sync_project
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.sync.changing import read, settle


@pytest.fixture
def settled(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    """Ten tasks, two of them labelled, read so long ago that nothing of them is read again."""
    for task_id in range(1, 11):
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    app.label_studio.label(2, was_cancelled=True)
    sync_project(app.context, PROJECT)
    settle(app)
    assert read(app) == []
    return app

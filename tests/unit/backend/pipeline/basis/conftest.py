from __future__ import annotations

import pytest

from tests.fakes.app import FakeApp
from tests.unit.backend.pipeline.basis.faulty_pool import serve_faulty_version


@pytest.fixture
def version(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> int:
    return serve_faulty_version(app, monkeypatch)

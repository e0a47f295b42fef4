"""A project of one class, and a context that reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.stack.label_studio_server import LabelStudioServer
from converters.label_studio.config.inferred_config import polygon_label_config

CONFIG = polygon_label_config(["kudzu"])


@pytest.fixture
def context(
    tmp_path: Path, label_studio: LabelStudioServer, client: LabelStudioClient
) -> AppContext:
    settings = Settings.load(
        data_dir=tmp_path / "data",
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.credentials.token,
    )
    return AppContext.open(settings)


@pytest.fixture
def project(client: LabelStudioClient) -> Iterator[ProjectInfo]:
    made = client.create_project("Files", CONFIG)
    yield made
    client.delete_project(made.id)

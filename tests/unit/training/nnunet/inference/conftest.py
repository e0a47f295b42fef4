from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.nnunet.inference.versions import write_version


@pytest.fixture(scope="session")
def version_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"))

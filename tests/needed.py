"""What some tests need and a machine may lack.

Real images lie beside the checkout (``../shared/data``): they are other people's pictures, too
large to be kept with the code, and every test that can do with generated ones does. Those that read
them accept what no generated image shows, that outlines and files hold on real data:

- ``unit/converters/outlines/test_vectorize.py``: overlap and vertices of real masks;
- ``unit/converters/imports/test_readers.py`` and ``test_run.py``, and
  ``integration/files/test_round_trip.py``: a VIA file and masks that others have made;
- ``unit/benchmarks/test_retrain.py``: the folders that the benchmarks are run on.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ON_POSTGRESQL = os.environ.get("NNLOOP_TEST_STORE") == "postgresql"
"""Whether stores of unit tests are of PostgreSQL, as `make test` does for some of them."""

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data"


def missing(reason: str) -> None:
    """Skips on a developer's machine, fails in CI, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def real_images(name: str) -> Path:
    """The folder of real images with this name."""
    folder = REAL_IMAGES / name
    if not folder.is_dir():
        missing(f"no real images at {folder}: what is accepted on real data was not tested")
    return folder

"""Settings of hypothesis and of the console for all unit tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from backend.store import clock

# The command line's console takes its width when it is first imported.
os.environ["COLUMNS"] = "200"

# No deadline per example: a busy machine is no failure. The same examples in every run.
settings.register_profile("nnloop", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("nnloop")


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """A command that keeps the data folder private sets the umask of its process."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _own_clock() -> Iterator[None]:
    """A database server's clock is that of its process from then on."""
    yield
    clock._ahead.clear()

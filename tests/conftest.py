"""Real servers for the integration and browser tests, one of each per session."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from backend.label_studio import LabelStudioClient
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.process import ManagedProcess
from backend.stack.redis_server import RedisServer
from domain.errors import StackError
from tests.integration.loop.stack import Loop, Served, running_loop, serve_first_version
from tests.needed import missing
from tests.own_settings import NICENESS, leave_out_settings
from tests.servers import NotInstalledError, running_label_studio, running_postgresql

T = TypeVar("T")

_ROOM_BYTES = 2 * 2**30

# nnloop's own processes have no current folder on their path; some run modules of the tests.
_ROOT = str(Path(__file__).resolve().parents[1])
leave_out_settings(os.environ)
# Other tests want the cores as well, and a budget goes by the clock.
os.environ.setdefault(NICENESS, "0")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))


@contextlib.contextmanager
def installed(server: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """The server; what is not installed is ``missing``."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(server)
        except NotInstalledError as error:
            missing(str(error))
            raise
        yield started


@pytest.fixture(scope="session")
def quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory where that has room: Label Studio waits for a disk at each of its many commits."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES:
        with tempfile.TemporaryDirectory(prefix="nnloop-tests-", dir=memory) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("quick")


@pytest.fixture(scope="session")
def label_studio(quick_folder: Path) -> Iterator[LabelStudioServer]:
    """A real Label Studio on a free port, with an empty database and a legacy token."""
    with installed(running_label_studio(quick_folder / "label-studio")) as server:
        yield server


@pytest.fixture(scope="session")
def client(label_studio: LabelStudioServer) -> Iterator[LabelStudioClient]:
    """The client nnloop uses, logged in with the legacy token."""
    with LabelStudioClient(label_studio.url, label_studio.credentials.token) as found:
        yield found


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real, empty Redis."""
    try:
        server = RedisServer.open(tmp_path_factory.mktemp("redis"))
    except StackError as error:
        missing(error.in_full)
        raise
    process = ManagedProcess(server.spec())
    process.start()
    yield server.url
    process.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """SQLAlchemy's URL of an empty database in a real PostgreSQL."""
    with installed(running_postgresql()) as url:
        yield url


@pytest.fixture(scope="session")
def loop(
    label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    """nnloop's own processes beside the Label Studio: Redis, web service, three workers."""
    with running_loop(label_studio, tmp_path_factory.mktemp("nnloop")) as found:
        yield found


@pytest.fixture(scope="session")
def served(loop: Loop) -> Served:
    """A project of 14 images, 6 of them labelled, whose first version has been trained."""
    return serve_first_version(loop)

import stat
from pathlib import Path

import pytest
import redis

from backend.stack.process import ManagedProcess
from backend.stack.redis_server import RedisServer, redis_executable, socket_path
from domain.errors import StackError


@pytest.mark.parametrize("use_socket", [True, False])
def test_jobs_survive_a_restart(tmp_path: Path, use_socket: bool) -> None:
    folder = tmp_path / 'with space and "quote"'
    for attempt in range(2):
        server = RedisServer.open(folder, use_socket=use_socket)
        process = ManagedProcess(server.spec())
        process.start()
        with redis.Redis.from_url(server.url) as connection:
            if attempt == 0:
                connection.set("job", "1")
            assert connection.get("job") == b"1"
        process.stop()
        assert not server.is_ready()


def test_a_folder_has_one_redis_only(tmp_path: Path) -> None:
    server = RedisServer.open(tmp_path)
    process = ManagedProcess(server.spec())
    process.start()
    with pytest.raises(StackError, match="runs already"):
        RedisServer.open(tmp_path).spec()
    process.stop()


@pytest.mark.slow
def test_on_tcp_a_password_is_needed_and_hidden(tmp_path: Path) -> None:
    server = RedisServer.open(tmp_path, use_socket=False)
    password = server.url.partition("://:")[2].partition("@")[0]
    spec = server.spec()
    assert password not in repr(server) + repr(spec) + " ".join(spec.argv)
    assert stat.S_IMODE((tmp_path / "redis.conf").stat().st_mode) == 0o600
    process = ManagedProcess(spec)
    process.start()
    with (
        redis.Redis(port=server.port) as connection,
        pytest.raises(redis.AuthenticationError),
    ):
        connection.ping()
    process.stop()


def test_a_long_path_gets_a_short_socket_always_the_same(tmp_path: Path) -> None:
    assert socket_path(Path("/srv/nnloop")) == Path("/srv/nnloop/redis.sock")
    long = tmp_path / ("x" * 100) / "data"
    server = RedisServer.open(long)
    assert server.socket_path is not None
    assert len(str(server.socket_path)) < 100
    assert server.socket_path == socket_path(long)
    assert server.socket_path.parent.stat().st_mode & 0o077 == 0
    process = ManagedProcess(server.spec())
    process.start()
    process.stop()
    server.socket_path.parent.rmdir()


def test_a_short_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("y" * 100)
    folder = socket_path(long).parent
    folder.chmod(0o777)
    try:
        with pytest.raises(StackError, match="open to other users"):
            RedisServer.open(long)
    finally:
        folder.rmdir()


def test_the_wheel_has_the_server() -> None:
    assert redis_executable().name == "redis-server"

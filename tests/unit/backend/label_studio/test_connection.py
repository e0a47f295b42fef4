import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import jwt
import pytest

from backend.label_studio import LabelStudioClient, PushedPrediction
from backend.label_studio.connection import Connection, detail_of
from backend.stack.ports import free_port
from domain.errors import LabelStudioAuthError, LabelStudioError

KEY = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Answers with the next of ``answers``, a (status, type, body); None drops the connection."""

    answers: list[tuple[int, str, bytes] | None]
    calls: list[tuple[str, str]]
    url: str


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("backend.label_studio.retries.FIRST_PAUSE_S", 0.01)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.calls.append((self.command, self.path))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = found.answers.pop(0)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            self.send_header("Content-Type", answer[1])
            self.send_header("Content-Length", str(len(answer[2])))
            self.end_headers()
            self.wfile.write(answer[2])

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    found = Server(("127.0.0.1", 0), Handler)
    found.answers, found.calls = [], []
    found.url = f"http://127.0.0.1:{found.server_address[1]}"
    threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def reply(status: int = 200, **body: object) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(body).encode()


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://host", "http://", "http://me:hunter2@host"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(LabelStudioError, match="address of Label Studio") as caught:
        Connection(url, KEY)
    assert "LABEL_STUDIO_URL" in caught.value.remedy
    assert "hunter2" not in str(caught.value)


def test_the_key_is_never_shown() -> None:
    client = LabelStudioClient("http://host", KEY)
    assert KEY not in repr(client) + repr(client._connection)
    with pytest.raises(LabelStudioAuthError, match="no API key"):
        LabelStudioClient("http://host", "  ")


def test_an_expired_access_token_is_refused_at_once() -> None:
    expired = jwt.encode({"token_type": "refresh", "exp": 1}, "x" * 32)
    with pytest.raises(LabelStudioAuthError, match="expired") as caught:
        LabelStudioClient("http://host", expired)
    assert expired not in str(caught.value)


@pytest.mark.slow
def test_nobody_there_says_so() -> None:
    port = free_port()
    with pytest.raises(LabelStudioError, match=f"127.0.0.1:{port} can't be reached"):
        LabelStudioClient(f"http://127.0.0.1:{port}", KEY).health()


@pytest.mark.parametrize("first", [None, reply(502), reply(503)])
def test_reading_is_repeated(server: Server, first: tuple[int, str, bytes] | None) -> None:
    server.answers = [first, (200, "application/json", b'{"status": "UP"}')]
    assert LabelStudioClient(server.url, KEY).health()
    assert len(server.calls) == 2


@pytest.mark.parametrize("first", [None, reply(503)])
def test_submitting_is_never_repeated(server: Server, first: tuple[int, str, bytes] | None) -> None:
    server.answers = [first, reply(id=1)]
    with pytest.raises(LabelStudioError):
        LabelStudioClient(server.url, KEY).annotate(1, [])
    assert len(server.calls) == 1


def test_a_slow_answer_ends_in_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = LabelStudioClient(server.url, KEY, timeout_s=0.2)

    def too_slow(*arguments: object, **options: object) -> None:
        raise httpx.ReadTimeout("slow")

    monkeypatch.setattr(client._connection._http, "request", too_slow)
    with pytest.raises(LabelStudioError, match=r"GET /health/ .* not answered within 0.2 s"):
        client.health()


def test_a_page_instead_of_json_points_at_the_address(server: Server) -> None:
    server.answers = [(200, "text/html", b"<html>login</html>")]
    with pytest.raises(LabelStudioError, match="text/html instead of JSON") as caught:
        LabelStudioClient(server.url, KEY).version()
    assert "LABEL_STUDIO_URL" in caught.value.remedy


def test_a_refusal_is_quoted_without_the_key(server: Server) -> None:
    server.answers = [reply(403, detail=f"{KEY} may not")]
    with pytest.raises(LabelStudioAuthError, match=r"403: \*\*\* may not"):
        LabelStudioClient(server.url, KEY).version()


def test_a_path_prefix_stays_also_when_a_token_is_refreshed(server: Server) -> None:
    token = jwt.encode({"token_type": "refresh", "exp": 4102444800}, "x" * 32)
    access = jwt.encode({"token_type": "access", "exp": 4102444800}, "x" * 32)
    server.answers = [reply(access=access), reply(release="1.23.2"), reply(release="1.23.2")]
    client = LabelStudioClient(server.url + "/studio/", token)
    assert client.version() == client.version() == "1.23.2"
    assert server.calls == [
        ("POST", "/studio/api/token/refresh/"),
        ("GET", "/studio/api/version/"),
        ("GET", "/studio/api/version/"),
    ]


def test_a_token_refresh_that_fails_is_an_error(server: Server) -> None:
    token = jwt.encode({"token_type": "refresh", "exp": 4102444800}, "x" * 32)
    server.answers = [reply(401, detail="Token is blacklisted"), (200, "text/html", b"<html>")]
    client = LabelStudioClient(server.url, token)
    with pytest.raises(LabelStudioAuthError, match="blacklisted") as caught:
        client.version()
    assert token not in str(caught.value)
    with pytest.raises(LabelStudioError, match="no JSON"):
        client.version()


@pytest.mark.parametrize(
    ("kind", "content", "detail"),
    [
        ("application/json", b'{"detail": "d"}', "d"),
        ("application/json", b'{"detail": "d", "validation_errors": {"t": ["x"]}}', '{"t": ["x"]}'),
        ("application/json", b'["a", "b"]', "['a', 'b']"),
        ("application/json", b"{}", "Bad Request"),
        ("text/plain", b"plain", "plain"),
        ("text/html", b"<html>long page</html>", "Bad Request"),
        ("text/plain", b"x" * 1000, "x" * 397 + "..."),
        ("text/plain", b"\x1b[31mTraceback:\n\n  File\r\n", "Traceback: File"),
    ],
)
def test_what_an_error_answer_says(kind: str, content: bytes, detail: str) -> None:
    response = httpx.Response(400, headers={"content-type": kind}, content=content)
    assert detail_of(response) == detail


def test_predictions_go_out_in_halves_where_a_proxy_takes_no_more(server: Server) -> None:
    rows = [PushedPrediction(task_id, [], 0.5, "v1") for task_id in range(4)]
    too_large = (413, "text/html", b"<html>Request Entity Too Large</html>")
    server.answers = [too_large, reply(created=2), too_large, reply(created=1), too_large]
    client = LabelStudioClient(server.url, KEY)
    # The last one is too large by itself: it is not stored, and stops no other.
    assert client.import_predictions(1, rows) == 3
    assert len(server.calls) == 5
    server.answers = [reply(400, detail="no such task")]
    with pytest.raises(LabelStudioError, match="no such task"):
        client.import_predictions(1, rows)

"""A small HTTP server that notes what Label Studio sends, and answers as an ML backend."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Listener:
    """What arrived: (method, path, headers, body), and how to answer."""

    url: str
    calls: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def answer(
        self, path: str, body: bytes | dict[str, Any] = b"", status: int = 200, **headers: str
    ) -> None:
        """Sets the answer to a path (without its query)."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        self.answers[path] = (status, headers, content)

    def to(self, path: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        """The calls to a path (without its query)."""
        with self.arrived:
            return [c for c in self.calls if c[1].partition("?")[0] == path]

    def wait_for(
        self, matches: Callable[[tuple[str, str, dict[str, str], bytes]], bool]
    ) -> tuple[str, str, dict[str, str], bytes]:
        """The first call that matches; fails after 10 s."""
        with self.arrived:
            self.arrived.wait_for(lambda: any(matches(c) for c in self.calls), timeout=10)
            found = [c for c in self.calls if matches(c)]
        assert found, f"none of {len(self.calls)} calls matched"
        return found[0]


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port; it answers as an ML backend unless told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            with listener.arrived:
                listener.calls.append((self.command, self.path, dict(self.headers), body))
                listener.arrived.notify_all()
            path = self.path.partition("?")[0]
            status, headers, content = listener.answers.get(path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(f"http://127.0.0.1:{server.server_address[1]}")
    listener.answer("/health", {"status": "UP"})
    listener.answer("/setup", {"model_version": "v0"})
    listener.answer("/webhook", {})
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield listener
    server.shutdown()
    server.server_close()

"""A proxy in front of Label Studio that gives up on imports Label Studio finishes all the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

SHARE = 0.5
"""Of the imports of predictions, so many are answered with 504 after they were done."""

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}


class Proxy:
    """What it did: how many answers were kept back."""

    def __init__(self, target: str, seed: int) -> None:
        self.target, self.n_given_up = target, 0
        self.url = ""
        self._rng = random.Random(seed)
        self._lock = threading.Lock()

    def gives_up(self, method: str, path: str) -> bool:
        """Whether the answer to a request that was passed on is 504."""
        if method != "POST" or "/import/predictions" not in path:
            return False
        with self._lock:
            is_kept = self._rng.random() < SHARE
            self.n_given_up += is_kept
        return is_kept


@contextmanager
def running_proxy(target: str, seed: int) -> Iterator[Proxy]:
    """A proxy on a free port while the block lasts."""
    proxy = Proxy(target, seed)
    client = httpx.Client(timeout=300.0, trust_env=False, follow_redirects=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            # Label Studio writes addresses by the name it is called by.
            headers["Host"] = target.partition("://")[2]
            try:
                answer = client.request(
                    self.command, target + self.path, headers=headers, content=body
                )
            except httpx.HTTPError:
                self._answer(502, {}, b"")
                return
            if proxy.gives_up(self.command, self.path):
                self._answer(504, {}, b"")
                return
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            self._answer(answer.status_code, kept, answer.content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _pass  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, name="proxy", daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        client.close()

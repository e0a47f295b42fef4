"""What is connected to is an address; what is asked for, and proves itself, is the name."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from backend.label_studio.reach.transport import BOUNDS, BoundedTransport, Bounds
from backend.settings.image_hosts import ImageHosts
from backend.stack.ports import LOOPBACK
from tests.needed import missing

NAME, OTHER = "images.lab", "other.lab"


@dataclass
class Secure:
    """A server at this machine's address that proves to be ``NAME``."""

    port: int
    names: list[str | None] = field(default_factory=list)
    hosts: list[str | None] = field(default_factory=list)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that signs itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        missing("no openssl program")
    folder = tmp_path_factory.mktemp("tls")
    kind = ("-newkey", "rsa:2048", "-nodes", "-x509", "-days", "2", "-subj", f"/CN={NAME}")
    files = ("-keyout", str(folder / "key"), "-out", str(folder / "pem"))
    name = ("-addext", f"subjectAltName=DNS:{NAME}")
    subprocess.run(["openssl", "req", *kind, *files, *name], check=True, capture_output=True)
    both = folder / "both"
    both.write_text((folder / "pem").read_text() + (folder / "key").read_text())
    return both


@pytest.fixture
def secure(certificate: Path) -> Iterator[Secure]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.hosts.append(self.headers["Host"])
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"image")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    found = Secure(server.server_address[1])
    context.sni_callback = lambda _socket, name, _context: found.names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def transport(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoundedTransport]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    opened = BoundedTransport(httpx.Limits(), resolve=lambda _host, _port: [LOOPBACK])
    yield opened
    opened.close()


def ask(transport: BoundedTransport, name: str, port: int) -> httpx.Response:
    bounds = Bounds(ImageHosts.parse(f"{NAME},{OTHER}"))
    with httpx.Client(transport=transport, timeout=5) as client:
        return client.get(f"https://{name}:{port}/scan.png", extensions={BOUNDS: bounds})


def test_the_server_is_asked_and_checked_by_its_name(
    secure: Secure, transport: BoundedTransport
) -> None:
    assert ask(transport, NAME, secure.port).content == b"image"
    assert secure.names == [NAME]
    assert secure.hosts == [f"{NAME}:{secure.port}"]


def test_a_server_that_proves_to_be_another_is_told_nothing(
    secure: Secure, transport: BoundedTransport
) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate"):
        ask(transport, OTHER, secure.port)
    assert secure.hosts == []

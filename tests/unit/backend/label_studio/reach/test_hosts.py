"""Hosts that are refused, on real sockets: what is connected to is what counts."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from backend.label_studio import LabelStudioClient, retries
from backend.label_studio.reach.transport import BoundedTransport
from backend.settings.image_hosts import ImageHosts
from domain.errors import ImageError

KEY = "a" * 40
SECRET = "http://169.254.169.254/latest/meta-data/"
Calls = list[tuple[str, str, str]]


class _Handler(BaseHTTPRequestHandler):
    """Answers with its path, or leads to where its query says; notes (path, Host, key)."""

    calls: Calls
    leads: dict[str, str]

    def do_GET(self) -> None:
        self.calls.append((self.path, self.headers["Host"], self.headers.get("Authorization", "")))
        place = self.leads.get(self.path.partition("?")[0])
        self.send_response(302 if place else 200)
        if place:
            self.send_header("Location", place)
        body = b"" if place else self.path.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server:
    """A server at one address of this machine; all of 127.0.0.0/8 are on Linux."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.calls: Calls = []
        self.leads: dict[str, str] = {}
        handler = type("_Own", (_Handler,), {"calls": self.calls, "leads": self.leads})
        self._server = ThreadingHTTPServer((address, port), handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(address: str = "127.0.0.1", port: int = 0) -> Server:
        servers.append(Server(address, port))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


@pytest.fixture
def studio(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture
def client(studio: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelStudioClient]:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.01)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with LabelStudioClient(studio.url, KEY) as client:
        client.image_deadline_s = 5.0
        yield client


def refusal_of(client: LabelStudioClient, uri: str) -> ImageError:
    with pytest.raises(ImageError) as caught:
        client.fetch_image(uri, 7, 1)
    assert caught.value.reason == "host_refused", str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "user:secret@127.0.0.1",
        "localhost",
        "LOCALHOST",
    ],
)
def test_this_machine_is_not_asked_however_it_is_written(
    client: LabelStudioClient, serve: Callable[..., Server], host: str
) -> None:
    inner = serve()
    error = refusal_of(client, f"http://{host}:{inner.port}/a.png")
    assert not inner.calls
    assert "secret" not in f"{error}{error.remedy}"
    assert f"NNLOOP_IMAGE_HOSTS=public,{host.rpartition('@')[2].lower()}"[:24] in error.remedy


def test_the_sentence_names_the_setting_that_allows_it(
    client: LabelStudioClient, serve: Callable[..., Server]
) -> None:
    inner = serve()
    error = refusal_of(client, f"{inner.url}/a.png")
    assert str(error) == (
        f"Task 7: the image '{inner.url}/a.png' was not asked for: 127.0.0.1 (127.0.0.1, this "
        "machine itself) is not among the hosts that images may be read from."
    )
    said = error.remedy.partition("NNLOOP_IMAGE_HOSTS=")[2].partition(" ")[0]
    assert said == f"public,127.0.0.1:{inner.port}"
    client.image_hosts = ImageHosts.parse(said)
    assert client.fetch_image(f"{inner.url}/a.png", 7, 1) == b"/a.png"
    refusal_of(client, f"{serve().url}/a.png")  # another port


def test_label_studio_by_another_name_is_told_apart(
    client: LabelStudioClient, studio: Server
) -> None:
    """Label Studio writes its own address into tasks: localhost, where the setting has a number."""
    uri = f"http://localhost:{studio.port}/data/local-files/?d=a.png"
    error = refusal_of(client, uri)
    assert error.remedy.startswith("If that is Label Studio itself, write LABEL_STUDIO_URL as it")
    with LabelStudioClient(f"http://localhost:{studio.port}", KEY) as same:
        assert same.fetch_image(uri, 7, 1)
    assert studio.calls[-1][2] == f"Token {KEY}"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::]", "10.255.255.254"])
def test_addresses_in_the_house_are_refused_before_they_are_asked(
    client: LabelStudioClient, host: str
) -> None:
    refusal_of(client, f"http://{host}/a.png")


def test_a_redirect_leads_to_no_address_that_is_not_allowed(
    client: LabelStudioClient, serve: Callable[..., Server]
) -> None:
    outer, inner = serve("127.0.0.2"), serve()
    client.image_hosts = ImageHosts.parse("127.0.0.2")
    outer.leads |= {"/meta": SECRET, "/in": f"{inner.url}/x", "/own": "/here"}
    assert client.fetch_image(f"{outer.url}/own", 7, 1) == b"/here"
    assert "169.254.169.254" in str(refusal_of(client, f"{outer.url}/meta"))
    refusal_of(client, f"{outer.url}/in")
    assert not inner.calls


def test_a_redirect_of_label_studio_is_trusted_to_a_storage_in_the_house(
    client: LabelStudioClient, studio: Server, serve: Callable[..., Server]
) -> None:
    minio, inner = serve(), serve()
    studio.leads["/tasks/7/presign/"] = f"{minio.url}/bucket/a.png?X-Amz-Signature=s"
    assert client.fetch_image("s3://bucket/a.png", 7, 1) == b"/bucket/a.png?X-Amz-Signature=s"
    assert minio.calls[0][2] == ""
    # That address was Label Studio's word; the next one is not, and the same in a task is not.
    minio.leads["/bucket/a.png"] = f"{inner.url}/x"
    refusal_of(client, "s3://bucket/a.png")
    refusal_of(client, f"{minio.url}/bucket/a.png")
    assert not inner.calls


def test_not_even_label_studio_leads_to_the_secrets_of_a_cloud(
    client: LabelStudioClient, studio: Server
) -> None:
    studio.leads["/tasks/7/presign/"] = SECRET
    error = refusal_of(client, "s3://bucket/a.png")
    assert "public,169.254.169.254 " in error.remedy


def test_other_paths_of_label_studio_lead_nowhere_in_the_house(
    client: LabelStudioClient, studio: Server, serve: Callable[..., Server]
) -> None:
    inner = serve()
    studio.leads["/go"] = f"{inner.url}/x"
    refusal_of(client, "/go")
    assert not inner.calls


def test_the_key_goes_to_images_of_label_studio_alone(
    client: LabelStudioClient, studio: Server
) -> None:
    uris = [
        "/data/upload/1/a.png",
        "/../../x",
        "/data/upload/../../x",
        "/data/upload/%2e%2e/%2e%2e/x",
        "/api/users/",
        f"{studio.url}/api/users/",
    ]
    for uri in uris:
        client.fetch_image(uri, 7, 1)
    encoded = base64.urlsafe_b64encode(b"s3://b/k").decode()
    client.fetch_image("s3://b/k", 7, 1)
    keyed = [path for path, _, key in studio.calls if key]
    assert keyed == ["/data/upload/1/a.png", f"/tasks/7/presign/?fileuri={encoded}"]


def test_what_was_looked_up_is_what_is_connected_to(
    client: LabelStudioClient, serve: Callable[..., Server]
) -> None:
    """A name that has an allowed address first, and another one whenever it is asked again."""
    allowed = serve("127.0.0.2")
    inner = serve("127.0.0.1", allowed.port)
    answers = [["127.0.0.1", "127.0.0.2"], ["127.0.0.2"], ["127.0.0.1"]]
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return answers[min(len(asked), len(answers)) - 1]

    client._plain = httpx.Client(transport=BoundedTransport(httpx.Limits(), resolve))
    client.image_hosts = ImageHosts.parse("127.0.0.2")
    url = f"http://images.test:{allowed.port}/a.png"
    for _ in range(2):  # the first time the other address is only one of two
        assert client.fetch_image(url, 7, 1) == b"/a.png"
    assert {host for _, host, _ in allowed.calls} == {f"images.test:{allowed.port}"}
    refusal_of(client, url)
    assert asked == [("images.test", allowed.port)] * 3
    assert not inner.calls


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer(
    client: LabelStudioClient, serve: Callable[..., Server]
) -> None:
    server = serve("127.0.0.3")
    both = ["127.0.0.2", "127.0.0.3"]
    client._plain = httpx.Client(transport=BoundedTransport(httpx.Limits(), lambda *_: both))
    client.image_hosts = ImageHosts.parse("images.test")
    assert client.fetch_image(f"http://images.test:{server.port}/a.png", 7, 1) == b"/a.png"


def test_a_name_without_an_address_is_tried_again_and_then_unreachable(
    client: LabelStudioClient,
) -> None:
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    client._plain = httpx.Client(transport=BoundedTransport(httpx.Limits(), resolve))
    with pytest.raises(ImageError, match="Temporary failure") as caught:
        client.fetch_image("http://images.test/a.png", 7, 1)
    assert caught.value.reason == "image_unreachable"
    assert asked == ["images.test"] * retries.ATTEMPTS


def test_a_proxy_is_used_and_gets_no_address_in_the_house(
    client: LabelStudioClient, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, inner = serve(), serve()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "aside.test")
    known = {"public.test": ["93.184.216.34"], "inner.test": ["10.0.0.7"]}

    def resolve(host: str, _port: int) -> list[str]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known[host]

    client._plain = httpx.Client(transport=BoundedTransport(httpx.Limits(), resolve))
    assert client.fetch_image("http://public.test/a.png", 7, 1) == b"http://public.test/a.png"
    # A name that only the proxy knows is the proxy's to judge, where public addresses are allowed.
    assert client.fetch_image("http://far.test/a.png", 7, 1) == b"http://far.test/a.png"
    refusal_of(client, "http://inner.test/a.png")
    client.image_hosts = ImageHosts.parse("nas.lab,aside.test")
    refusal_of(client, "http://far.test/a.png")
    known["aside.test"] = ["127.0.0.1"]
    assert client.fetch_image(f"http://aside.test:{inner.port}/a.png", 7, 1) == b"/a.png"
    assert len(proxy.calls) == 2
    assert len(inner.calls) == 1

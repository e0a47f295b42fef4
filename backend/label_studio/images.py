"""Images: the bytes behind a task's image value, wherever it points."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import unquote_to_bytes, urlsplit

import httpx

from backend.deadline import OutOfTimeError, limit_request, within
from backend.label_studio.calls import Calls
from backend.label_studio.connection import Connection
from backend.label_studio.reach.own_paths import gets_key, is_own, web_address
from backend.label_studio.reach.transport import (
    BOUNDS,
    BoundedTransport,
    Bounds,
    HostRefusedError,
)
from backend.label_studio.retries import repeated
from backend.settings.image_hosts import PUBLIC, ImageHosts
from domain.errors import ImageError
from domain.text import one_line

MAX_BYTES = 512 * 1024 * 1024
"""Largest image read; larger ones would not fit a worker's memory once decoded."""

STORAGE_SCHEMES = frozenset({"s3", "gs", "azure-blob"})
"""Schemes that only Label Studio's storages can open."""

IMAGE_TIMEOUT_S = 30.0
"""Seconds without a byte before a download counts as dead."""

DEADLINE_S = 60.0
"""Seconds one image may take in all, retries and redirects included."""

_MAX_REDIRECTS = 5
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """An image file. ``tag`` is what its server said of it: ETag, or else when it was changed.

    "" when it said neither, as Label Studio does of uploads and local files.
    """

    data: bytes
    tag: str = ""


Fetch = TypeVar("Fetch", bound=Callable[..., Any])


def _in_time(fetch: Fetch) -> Fetch:
    """A fetch under a time limit over all it does: ImageError when that is over."""

    @wraps(fetch)
    def limited(self: Images, uri: str, task_id: int, project_id: int, **options: Any) -> Any:
        try:
            return within(
                self.image_deadline_s, lambda: fetch(self, uri, task_id, project_id, **options)
            )
        except OutOfTimeError:
            raise ImageError(
                task_id,
                "image_unreachable",
                f"the image {shown(uri)!r} was not read within {self.image_deadline_s:g} s.",
                remedy="See why its server is so slow, or allow more time "
                "(NNLOOP_IMAGE_DEADLINE_S).",
            ) from None
        except UnicodeError as error:  # letters that no address holds
            raise ImageError(
                task_id,
                "unsupported_uri",
                f"the image {one_line(shown(uri))!r} has no address nnloop can read "
                f"({one_line(error)}).",
                remedy="Correct the address in the task's data.",
            ) from None

    return cast(Fetch, limited)


class Images(Calls):
    """Calls that read images.

    ``image_deadline_s`` is the time one may take in all, in seconds; ``image_hosts`` are what may
    be read from besides Label Studio and its storages.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.image_deadline_s = DEADLINE_S
        self.image_hosts = ImageHosts.parse(PUBLIC)
        # Redirects are followed by hand: the key must not travel to another host. No connection
        # is kept: a deadline knows of those only that were opened under it.
        self._plain = httpx.Client(
            timeout=IMAGE_TIMEOUT_S,
            follow_redirects=False,
            transport=BoundedTransport(httpx.Limits(max_keepalive_connections=0)),
            event_hooks={"request": [limit_request]},
        )

    def close(self) -> None:
        """Closes the pooled connections."""
        self._plain.close()

    def fetch_image(
        self, uri: str, task_id: int, project_id: int, *, max_bytes: int = MAX_BYTES
    ) -> bytes:
        """Reads the image a task's data names.

        Takes what Label Studio writes: ``/data/upload/...``, ``/data/local-files/?d=...``, http
        and https URLs, ``s3://``, ``gs://``, ``azure-blob://`` (through Label Studio's presigned
        links) and ``data:`` URIs. The key goes to Label Studio's own images only, also after
        redirects; other hosts must be allowed by ``image_hosts``, their addresses too.

        Args:
            uri: The raw value.
            task_id: Named in errors, and asked for presigned links.
            project_id: Asked for the presigned link when the task has gone.
            max_bytes: Most bytes to read.

        Returns:
            The file's bytes, not decoded.

        Raises:
            ImageError: ``image_missing``, ``image_refused`` (401, 403), ``image_unreachable``,
                ``host_refused``, ``image_too_large`` or ``unsupported_uri``.
            LabelStudioAuthError: A personal access token was refused.
        """
        found = self.fetch_changed(uri, task_id, project_id, max_bytes=max_bytes)
        return found.data if found is not None else b""

    @_in_time
    def fetch_changed(
        self,
        uri: str,
        task_id: int,
        project_id: int,
        *,
        unless_tag: str = "",
        max_bytes: int = MAX_BYTES,
    ) -> FetchedImage | None:
        """``fetch_image`` with the image's tag; None when it still has the tag ``unless_tag``.

        Its server is told the tag, and its answer is not read when it shows the same one.
        """
        scheme = uri.partition(":")[0].lower()
        if scheme == "data":
            return FetchedImage(_decode_data_uri(uri, task_id, max_bytes))
        if scheme in STORAGE_SCHEMES:
            encoded = base64.urlsafe_b64encode(uri.encode()).decode()
            path = f"{self._connection.url}/{{}}/presign/?fileuri={encoded}"
            try:
                url = path.format(f"tasks/{task_id}")
                return self._download(url, uri, task_id, max_bytes, unless_tag)
            except ImageError as error:
                if error.reason != "image_missing":
                    raise
                url = path.format(f"projects/{project_id}")
                return self._download(url, uri, task_id, max_bytes, unless_tag)
        if scheme in ("http", "https") and web_address(uri) is not None:
            return self._download(uri, uri, task_id, max_bytes, unless_tag)
        if uri.startswith("/") and not uri.startswith("//"):
            return self._download(self._absolute(uri), uri, task_id, max_bytes, unless_tag)
        raise ImageError(
            task_id,
            "unsupported_uri",
            f"the image {shown(uri)!r} has no address nnloop can read.",
            remedy="Use an upload, a storage of Label Studio, or an http(s) URL.",
        )

    def _absolute(self, path: str) -> str:
        """A path of Label Studio as a URL; the path may or may not hold its prefix already."""
        base = self._connection.url
        prefix = urlsplit(base).path
        if prefix and path.startswith(prefix + "/"):
            path = path[len(prefix) :]
        return base + path

    def _download(
        self, address: str, uri: str, task_id: int, max_bytes: int, unless_tag: str
    ) -> FetchedImage | None:
        url = web_address(address)
        storage: tuple[str, int | None] | None = None  # whereto Label Studio itself has led
        for _ in range(_MAX_REDIRECTS + 1):
            if url is None:
                break
            of_storage = storage == (url.host, url.port)
            found = self._hop(url, uri, task_id, max_bytes, unless_tag, of_storage=of_storage)
            if not isinstance(found, str):
                return found
            led_by = url
            url = _joined(url, found)
            if url is not None and gets_key(self._connection.url, led_by):
                storage = (url.host, url.port)
            if url is not None and self._is_login(url):
                raise _refused(task_id, uri, "a login page")
        raise ImageError(
            task_id,
            "image_unreachable",
            f"the image {shown(uri)!r} leads into endless or strange redirects.",
            remedy="Check the address in the task's data.",
        )

    def _hop(
        self,
        url: httpx.URL,
        uri: str,
        task_id: int,
        max_bytes: int,
        unless_tag: str,
        *,
        of_storage: bool,
    ) -> FetchedImage | str | None:
        """One request with retries: the image, or the address it redirects to; None as above."""
        login = self._connection.login if gets_key(self._connection.url, url) else None
        headers = _condition(unless_tag)
        extensions = {}
        if not is_own(self._connection.url, url):
            extensions[BOUNDS] = Bounds(self.image_hosts, of_storage)

        def call() -> FetchedImage | str | None:
            with self._plain.stream(
                "GET", url, headers=headers, auth=login, extensions=extensions
            ) as response:
                if unless_tag and _is_unchanged(response, unless_tag):
                    return None
                if response.status_code in (502, 503, 504):
                    raise _AwayError(f"status {response.status_code}")
                return _read(response, uri, task_id, max_bytes)

        try:
            return repeated(call, after_error=_may_pass)
        except HostRefusedError as error:
            raise _host_refused(task_id, uri, error) from None
        except (httpx.HTTPError, _AwayError, httpx.InvalidURL, ValueError) as error:
            # ValueError: a part of the host's name is too long, or has letters of no name.
            fault = one_line(error) or type(error).__name__
        raise ImageError(
            task_id,
            "image_unreachable",
            f"the image {shown(uri)!r} can't be reached ({fault}).",
            remedy="Check the address, and that this machine may reach it.",
        )

    def _is_login(self, url: httpx.URL) -> bool:
        return is_own(self._connection.url, url) and "/user/login" in url.path


class _AwayError(Exception):
    """A proxy said that the server of an image is away."""


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPError | _AwayError)


def shown(uri: str) -> str:
    """An address for a message: without its query, which may be signed, and not too long.

    >>> shown("https://host/a.png?X-Amz-Signature=1")
    'https://host/a.png'
    """
    if uri.startswith("data:"):
        return uri[:30] + "..."
    keep = uri if "/data/local-files/" in uri else uri.partition("?")[0]
    scheme, mark, rest = keep.partition("://")
    if mark and "@" in rest.partition("/")[0]:
        keep = f"{scheme}://***@{rest.partition('@')[2]}"
    return keep if len(keep) <= 160 else keep[:157] + "..."


_ETAG, _MODIFIED = "etag ", "modified "
"""What a tag begins with."""


def _tag_of(headers: Mapping[str, str]) -> str:
    etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
    return _ETAG + etag if etag else _MODIFIED + modified if modified else ""


def _condition(tag: str) -> dict[str, str]:
    if tag.startswith(_ETAG):
        return {"If-None-Match": tag.removeprefix(_ETAG)}
    return {"If-Modified-Since": tag.removeprefix(_MODIFIED)} if tag else {}


def _is_unchanged(response: httpx.Response, tag: str) -> bool:
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return True
    return response.is_success and _tag_of(response.headers) == tag


def _read(response: httpx.Response, uri: str, task_id: int, max_bytes: int) -> FetchedImage | str:
    status = response.status_code
    if response.has_redirect_location:
        return response.headers["location"]
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise _refused(task_id, uri, f"status {status}")
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE) or _is_lost_upload(response):
        raise ImageError(
            task_id,
            "image_missing",
            f"the image {shown(uri)!r} does not exist.",
            remedy="Upload it again, connect its storage in Label Studio, or delete the task.",
        )
    if not response.is_success:
        to_nowhere = " and no address to go on to" if response.is_redirect else ""
        raise ImageError(
            task_id,
            "image_unreachable",
            f"reading the image {shown(uri)!r} failed with status {status}{to_nowhere}.",
            remedy="See the log of the server that holds it.",
        )
    if "," in response.headers.get("content-encoding", ""):
        # Each unpacking makes a thousand bytes of one, before anybody can count them.
        raise ImageError(
            task_id,
            "image_unreachable",
            f"the image {shown(uri)!r} comes packed more than once.",
            remedy="See the settings of the server that holds it.",
        )
    parts, size = [], 0
    for chunk in response.iter_bytes(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(task_id, uri, max_bytes)
        parts.append(chunk)
    return FetchedImage(b"".join(parts), _tag_of(response.headers))


def _is_lost_upload(response: httpx.Response) -> bool:
    """Label Studio answers 500 instead of 404 for an upload it does not know."""
    if response.status_code != 500 or "/data/upload/" not in response.request.url.path:
        return False
    return b"NoneType" in response.read()


def _decode_data_uri(uri: str, task_id: int, max_bytes: int) -> bytes:
    head, comma, body = uri.partition(",")
    if len(body) * 3 // 4 > max_bytes:
        raise _too_large(task_id, uri, max_bytes)
    try:
        if not comma:
            raise ValueError("no comma")
        raw = unquote_to_bytes(body)
        return base64.b64decode(raw, validate=True) if head.endswith(";base64") else raw
    except (ValueError, binascii.Error) as error:
        raise ImageError(
            task_id,
            "unsupported_uri",
            f"the image {shown(uri)!r} is a malformed data: URI ({error}).",
            remedy="Correct the task's data.",
        ) from None


def _refused(task_id: int, uri: str, what: str) -> ImageError:
    return ImageError(
        task_id,
        "image_refused",
        f"the image {shown(uri)!r} was refused ({what}).",
        remedy="The key goes to the images of LABEL_STUDIO_URL only (/data/...): it must be one of "
        "them, at that very address, or be readable without a login.",
    )


def _host_refused(task_id: int, uri: str, error: HostRefusedError) -> ImageError:
    is_alike = "/data/upload/" in uri or "/data/local-files/" in uri
    own = "If that is Label Studio itself, write LABEL_STUDIO_URL as it stands there. "
    return ImageError(
        task_id,
        "host_refused",
        f"the image {shown(uri)!r} was not asked for: {one_line(error.host, 80)} ({error.why}) is "
        "not among the hosts that images may be read from.",
        remedy=f"{own if is_alike else ''}If images are meant to be there, allow it with "
        f"NNLOOP_IMAGE_HOSTS={one_line(error.allow, 200)} and start nnloop again "
        "(docs/securing.md).",
    )


def _too_large(task_id: int, uri: str, max_bytes: int) -> ImageError:
    return ImageError(
        task_id,
        "image_too_large",
        f"the image {shown(uri)!r} is larger than {max_bytes} bytes.",
        remedy="Store a smaller image.",
    )


def _joined(url: httpx.URL, location: str) -> httpx.URL | None:
    """Where a redirect leads; None where that is no web address, as http://[ or file:///x."""
    try:
        return web_address(str(url.join(location)))
    except (httpx.InvalidURL, ValueError):
        return None

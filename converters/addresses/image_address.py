"""Addresses of images in a task's data: which path they name, and where such a file may lie."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qs, unquote, unquote_plus, urlsplit

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts this before the name of an uploaded file."""

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".avif"})
_KEY = re.compile(r"(s3|gs|azure-blob)://[^/]*/?", re.IGNORECASE)
"""Storages whose addresses end in a key: all of it is the name, also '#', '?' and '%'."""

_WEB = re.compile(r"(https?:)?//[^/?#]*", re.IGNORECASE)
_UNREAD = str.maketrans("", "", "\t\r\n")
_TO_STANDARD = str.maketrans("-_ ", "+/+")

_MAX_LENGTH = 4096
"""Characters of an address that are looked at, its end: no path is longer."""


def path_of(value: str) -> str:
    """The path an address names, with forward slashes; "" for ``data:`` URIs.

    Takes a path, a URL, ``/data/local-files/?d=...`` or a storage address.

    >>> path_of("s3://bucket/dir/scan#3.png")
    'dir/scan#3.png'
    >>> path_of("/data/local-files/?d=a%20b/c.png")
    'a b/c.png'
    """
    return next(_paths(value), "")


def storage_path_of(value: str) -> str:
    """``path_of`` after the host or bucket, which tells equal paths apart."""
    match = _KEY.match(value) or _WEB.match(value)
    # Without a name and password before the host: this goes into files.
    host = match[0].rpartition("//")[2].rpartition("@")[2].strip("/") if match else ""
    return "/".join(part for part in (host, path_of(value).lstrip("/")) if part)


def identity_of(value: str) -> str:
    """A text that is equal for two addresses of one image, however they are quoted.

    Of Label Studio's own addresses its host does not count.

    >>> identity_of("http://localhost:8080/data/upload/1/a%20b.png")
    'data/upload/1/a b.png'
    """
    parts = _split(value) if _WEB.match(value) else None
    if parts is not None and not parts.path.startswith("/data/"):
        path = storage_path_of(value) + (f"?{parts.query}" if parts.query else "")
    elif _KEY.match(value):
        path = storage_path_of(value)
    else:
        path = path_of(value).lstrip("/")
    return unicodedata.normalize("NFC", path)


def is_upload(value: str) -> bool:
    """Whether Label Studio stores the file under a name it made (``upload_names``)."""
    return "/data/upload/" in value or value.startswith("upload/")


def names_an_image(value: str) -> bool:
    """Whether a text of a task's data looks like the address of an image."""
    if value.startswith("data:"):
        return value.startswith("data:image/")
    return PurePosixPath(path_of(value[-_MAX_LENGTH:])).suffix.lower() in _ENDINGS


def places(value: str) -> Iterator[str]:
    """Relative paths under which the file may lie in a folder, likeliest first; never above it.

    The whole path, then its ends; after the address as its server reads it, as it stands, for
    people quote too little and too much.
    """
    seen: set[str] = set()
    for path in _paths(value):
        parts = [part for part in path.split("/") if part not in ("", "..", ".")]
        for start in range(len(parts)):
            place = "/".join(parts[start:])
            if place not in seen:
                seen.add(place)
                yield place


def _paths(value: str) -> Iterator[str]:
    if value.startswith("data:"):
        return
    for path in _readings(value):
        # No path may hold a NUL.
        yield path.replace("\\", "/").replace("\0", "")[-_MAX_LENGTH:]


def _readings(value: str) -> Iterator[str]:
    """The path in an address: as a server reads it, then as a person may have meant it."""
    key = _KEY.match(value)
    if key:
        yield value[key.end() :]
        yield unquote(value[key.end() :])
        return
    parts = _split(value)
    if parts is not None and "fileuri=" in parts.query:
        # What Label Studio's API shows of a storage's address.
        yield from _readings(_fileuri(parts.query))
        return
    if parts is not None and "local-files" in parts.path and "d=" in parts.query:
        # As Django reads it: '+' is a space, '&' and '#' end it.
        yield parse_qs(parts.query, keep_blank_values=True).get("d", [""])[0]
        # An address is read without its line ends and tabs.
        plain = value.translate(_UNREAD)
        written = plain[plain.index("d=", plain.index("local-files")) + 2 :]
        yield unquote(written)
        yield written
        yield unquote(unquote(written))
        return
    web = _WEB.match(value)
    if parts is not None and (web or value.startswith("/data/")):
        yield unquote(parts.path)
        written = value[web.end() if web else 0 :]
        yield unquote(written)
        yield written
        yield unquote_plus(parts.path)
        return
    # Of a bare file name, '#' and '?' are part of the name.
    yield unquote(value)
    yield value


def _fileuri(query: str) -> str:
    """The address in ``fileuri``, base64 of either alphabet; "" where it holds none."""
    text = parse_qs(query).get("fileuri", [""])[0].translate(_TO_STANDARD)
    try:
        address = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:  # no base64, no UTF-8
        return ""
    return address if _KEY.match(address) or _WEB.match(address) else ""


def _split(value: str) -> SplitResult | None:
    try:
        return urlsplit(value)
    except ValueError:  # a malformed host, as in http://[a
        return None

"""Which addresses are Label Studio's own, and which of them get the key."""

from __future__ import annotations

import re
from urllib.parse import unquote

import httpx

# Uploads, local files, and what is in storages; the last leads on to a storage's own address.
_IMAGES = re.compile(
    r"/data/(upload|local-files)/.*"
    r"|/(api/)?(tasks|projects)/\d+/(presign|resolve)/?"
    r"|/storage-data/uploaded/?"
)
# A proxy may decode a path more than once before it is looked at.
_DECODINGS = 3


def web_address(text: str) -> httpx.URL | None:
    """A text as an http(s) address with a host; None when it is none.

    Whoever connects reads the address by the same rules: two readers that differ could be played
    off against each other.

    Raises:
        UnicodeError: Its host has letters of no name.
    """
    try:
        url = httpx.URL(text)
        is_web = url.scheme in ("http", "https") and bool(url.host) and url.port != 0
        is_web = is_web and b"%" not in url.raw_host  # as of http://[bad
    except (httpx.InvalidURL, ValueError) as error:
        if isinstance(error, UnicodeError):
            raise
        return None
    return url if is_web else None


def is_own(label_studio: str, url: httpx.URL) -> bool:
    """Whether an address is on Label Studio's host, at the same port, not less encrypted."""
    own = httpx.URL(label_studio)
    if own.host.lower() != url.host.lower():
        return False
    own_port, port = _port(own), _port(url)
    upgraded = (own.scheme, own_port, url.scheme, port) == ("http", 80, "https", 443)
    return upgraded or (own.scheme == url.scheme and own_port == port)


def gets_key(label_studio: str, url: httpx.URL) -> bool:
    """Whether an address is an image of Label Studio: nothing else is sent the key.

    ``/data/upload/../../x`` is none, in whatever way it is written: beside Label Studio other
    programs may stand behind the same address.
    """
    if not is_own(label_studio, url):
        return False
    prefix = httpx.URL(label_studio).path.rstrip("/")
    path = url.raw_path.decode("ascii", "replace").partition("?")[0]
    for _ in range(_DECODINGS):
        path = unquote(path)
    if any(part.partition(";")[0] in (".", "..") for part in path.replace("\\", "/").split("/")):
        return False
    return path.startswith(prefix + "/") and bool(_IMAGES.fullmatch(path[len(prefix) :]))


def _port(url: httpx.URL) -> int:
    return url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme, 0)

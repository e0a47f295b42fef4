"""The address of an image in a task, from what is put before it and its name."""

from __future__ import annotations

import re
from urllib.parse import quote

_SHOWN = re.compile(r"[a-z][a-z0-9+.-]*://|/|data:", re.IGNORECASE)
"""How an address starts that Label Studio can show: with a scheme, or with its own paths."""

_STORAGES = ("s3://", "gs://", "azure-blob://")
"""Their keys are names as they are, with '#', '?' and '%'."""


def image_address(prefix: str, name: str) -> str:
    """The name behind the prefix, quoted where the prefix makes it part of a URL.

    >>> image_address("/data/local-files/?d=scans/", "a&b #1+.png")
    '/data/local-files/?d=scans/a%26b%20%231%2B.png'
    >>> image_address("s3://bucket/", "scan#3.png")
    's3://bucket/scan#3.png'
    """
    if prefix.lower().startswith(_STORAGES) or not ("://" in prefix or prefix.startswith("/")):
        return prefix + name
    return prefix + quote(name, safe="/")


def is_shown(address: str) -> bool:
    """Whether Label Studio can show the image of an address; a bare file name says not where.

    >>> is_shown("scans/a.png"), is_shown("/data/local-files/?d=scans/a.png")
    (False, True)
    """
    return _SHOWN.match(address) is not None

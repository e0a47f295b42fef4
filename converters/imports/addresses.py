"""The address of an image in a task, from what is put before it and its name."""

from __future__ import annotations

from urllib.parse import quote

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

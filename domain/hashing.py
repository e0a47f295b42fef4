"""Hashes of content: the same wherever and whenever they are made."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, independent of key order.

    Texts may hold halves of characters, as a browser leaves them where it cuts an emoji in two.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

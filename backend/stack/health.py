"""Whether a server that was started answers."""

from __future__ import annotations

import httpx

_TIMEOUT_S = 5.0


def answers(url: str) -> bool:
    """Whether a GET of an address of this machine gives status 200; proxies are not asked."""
    try:
        return httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False

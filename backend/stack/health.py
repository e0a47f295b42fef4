"""Whether a server that was started answers, and what."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from domain.text import one_line

_TIMEOUT_S = 5.0


def answers(url: str) -> bool:
    """Whether a GET of an address of this machine gives status 200; proxies are not asked."""
    try:
        return httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What came of a GET: its status (0: none) and text, or why there was no answer."""

    status: int = 0
    text: str = ""
    error: str = ""


def ask(url: str, login: tuple[str, str] | None = None, timeout_s: float = _TIMEOUT_S) -> WebAnswer:
    """GETs an address, through the proxies of the environment; follows no redirect.

    Args:
        url: Of nnloop's web service.
        login: User and password for Basic authentication.
        timeout_s: Seconds for each step of it.
    """
    try:
        found = httpx.get(url, auth=login, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return WebAnswer(error=one_line(error) or type(error).__name__)
    return WebAnswer(found.status_code, found.text[:10_000])

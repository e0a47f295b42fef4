"""Login: how a call to Label Studio shows its key, of either kind."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import httpx

_CLOCK_S = 86_400.0
"""Clocks may differ by this: within it Label Studio decides whether a key has expired."""

_USED_SHARE = 0.9
"""Share of an access token's life after which the next one is bought."""


class LegacyLogin(httpx.Auth):
    """A legacy token, sent as it is."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends the token."""
        request.headers["Authorization"] = f"Token {self._api_key}"
        yield request

    def masked(self, text: str) -> str:
        """The text without the token."""
        return text.replace(self._api_key, "***")


class PersonalLogin(httpx.Auth):
    """A personal access token: it buys access tokens that last some minutes.

    A call that is answered with 401 is sent once more with a new access token, whatever the clock
    says: the clocks of the two machines need not agree. A call that got a 401 was not carried out,
    so that this is safe for every method. Safe to share between threads; those that need an access
    token at the same time wait for one and share what comes of it.

    Args:
        api_key: The personal access token.
        buy: Buys an access token; what it raises ends the calls that wait for it.
    """

    def __init__(self, api_key: str, buy: Callable[[], str]) -> None:
        self._api_key, self._buy = api_key, buy
        self._lock = threading.Lock()
        self._access = ""
        self._renew_at = 0.0
        self._coming: Future[str] | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends an access token, a new one when it is refused."""
        access = self._current()
        request.headers["Authorization"] = f"Bearer {access}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {self._current(refused=access)}"
            yield request

    def masked(self, text: str) -> str:
        """The text without the tokens."""
        text = text.replace(self._api_key, "***")
        return text.replace(self._access, "***") if self._access else text

    def _current(self, refused: str = "") -> str:
        with self._lock:
            if self._access not in ("", refused) and time.monotonic() < self._renew_at:
                return self._access
            is_mine = self._coming is None
            coming = self._coming = self._coming or Future()
        if is_mine:
            self._renew(coming)
        return coming.result()

    def _renew(self, coming: Future[str]) -> None:
        began = time.monotonic()
        try:
            access = self._buy()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            with self._lock:
                self._coming = None
            coming.set_exception(error)
            return
        with self._lock:
            self._access, self._renew_at = access, began + _USED_SHARE * _life_s(access)
            self._coming = None
        coming.set_result(access)


def is_personal(api_key: str) -> bool:
    """Whether a key is a personal access token; else it is a legacy token."""
    return bool(_claims(api_key))


def has_expired(api_key: str) -> bool:
    """Whether a personal access token has expired for certain."""
    expires = expires_at(api_key)
    return expires is not None and expires < time.time() - _CLOCK_S


def expires_at(api_key: str) -> float | None:
    """When a personal access token expires, in seconds since the epoch; None: never, or unknown."""
    expires = _claims(api_key).get("exp")
    return float(expires) if isinstance(expires, int | float) else None


def _life_s(access: str) -> float:
    """How long an access token lasts. Both ends are told by one clock, Label Studio's."""
    claims = _claims(access)
    issued, expires = claims.get("iat"), claims.get("exp")
    if isinstance(issued, int | float) and isinstance(expires, int | float) and issued < expires:
        return expires - issued
    return float("inf")  # until it is refused


def _claims(token: str) -> dict[str, Any]:
    """What a JSON web token says, not verified; empty for any other text."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}

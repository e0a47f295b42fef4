"""Connection: authenticated JSON calls to one Label Studio, with its failures as nnloop errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from backend.label_studio.login import LegacyLogin, PersonalLogin, has_expired, is_personal
from backend.label_studio.retries import repeated
from domain.errors import LabelStudioAuthError, LabelStudioError, MissingError
from domain.text import one_line

TIMEOUT_S = 60.0
"""Seconds Label Studio may take for an ordinary call."""

LONG_TIMEOUT_S = 300.0
"""Seconds for calls whose work grows with the project (imports, deletions, backend checks)."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
_REFRESH = "api/token/refresh/"
_DETAIL_LIMIT = 400
_NEW_TOKEN = "Make a new token in Account & Settings and set LABEL_STUDIO_API_KEY."  # noqa: S105

Files = Mapping[str, tuple[str, bytes, str]]
"""Form field -> (file name, content, MIME type)."""


class Connection:
    """One Label Studio and the key to it.

    The SDK's client is not used: it repeats a POST after a dropped connection, which would submit
    an annotation twice.

    Args:
        url: Address of Label Studio, with its path prefix if it has one.
        api_key: Legacy token (40 hex digits) or personal access token.
        timeout_s: Seconds an ordinary call may take.

    Raises:
        LabelStudioError: The address is no http(s) URL.
        LabelStudioAuthError: The key is empty or has expired.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise LabelStudioError(
                f"The address of Label Studio is {_without_user(url)!r}, which is no plain http "
                "or https URL.",
                remedy="Set LABEL_STUDIO_URL to something like http://localhost:8080.",
            )
        self.url = url.strip().rstrip("/")
        self._api_key = api_key.strip()
        self._timeout_s = timeout_s
        if not self._api_key:
            raise LabelStudioAuthError(
                f"There is no API key for Label Studio at {self.url}.",
                remedy="Set LABEL_STUDIO_API_KEY to a token from Account & Settings.",
            )
        if has_expired(self._api_key):
            raise LabelStudioAuthError(
                f"The API key for Label Studio at {self.url} has expired.", remedy=_NEW_TOKEN
            )
        self._http = httpx.Client(timeout=timeout_s, follow_redirects=True)
        self.login: PersonalLogin | LegacyLogin = (
            PersonalLogin(self._api_key, self._buy_access)
            if is_personal(self._api_key)
            else LegacyLogin(self._api_key)
        )

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r}, api_key='***')"

    def close(self) -> None:
        """Closes the pooled connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Files | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Sends one call and returns the answer whatever its status.

        ``body`` is sent as JSON. GET, PATCH, PUT and DELETE are repeated after a dropped connection
        or a 408, 409, 429, 5xx; POST only where no connection could be opened.

        Raises:
            LabelStudioAuthError: A personal access token was refused.
            LabelStudioError: No connection, no answer in time.
        """
        headers: dict[str, str] = {}
        content: bytes | None = None
        if body is not None:
            content = json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
        limit = timeout_s if timeout_s is not None else self._timeout_s

        def call() -> httpx.Response:
            return self._http.request(
                method,
                self._address(path),
                params=dict(params) if params else None,
                content=content,
                files=dict(files) if files else None,
                headers=headers,
                auth=self.login,
                timeout=limit,
            )

        with self._translated(method, path, limit):
            if method not in _IDEMPOTENT:
                return repeated(call, after_error=_is_unsent)
            return repeated(call, after_error=_is_dropped, after_answer=_may_pass)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Sends one call and returns the parsed JSON of its answer; None for an empty answer.

        Takes the options of ``send``.

        Raises:
            LabelStudioAuthError: 401 or 403.
            MissingError: 404.
            LabelStudioError: Any other refusal, no answer, or an answer that is no JSON.
        """
        return self.content(self.send(method, path, **options), method, path)

    def content(self, response: httpx.Response, method: str, path: str) -> Any:
        """What ``json`` makes of the answer to a call; errors as there."""
        self.check(response, method, path)
        if response.status_code == httpx.codes.NO_CONTENT or not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            kind = response.headers.get("content-type", "unknown content")
            raise LabelStudioError(
                f"{method} {path} on {self.url} answered with {kind} instead of JSON.",
                remedy="Check that LABEL_STUDIO_URL is the address of Label Studio itself.",
            ) from None

    def check(self, response: httpx.Response, method: str, path: str) -> None:
        """Raises the error an answer stands for, if it stands for one."""
        status = response.status_code
        if status < 400:
            return
        detail = self._masked(detail_of(response))
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise self._auth_error(method, path, status, detail)
        message = f"{method} {path} on {self.url} failed with {status}: {detail}"
        if status == httpx.codes.NOT_FOUND:
            remedy = "Check the project or task id; it may have been deleted."
            raise MissingError(message, remedy=remedy)
        remedies = {413: "Raise the upload limit of Label Studio or of the proxy before it."}
        remedy = "See the log of Label Studio." if status >= 500 else remedies.get(status, "")
        raise LabelStudioError(message, remedy=remedy)

    def _address(self, path: str) -> str:
        return f"{self.url}/{path.lstrip('/')}"

    def _buy_access(self) -> str:
        """Buys an access token with the personal access token."""

        def call() -> httpx.Response:
            key = {"refresh": self._api_key}
            return self._http.post(self._address(_REFRESH), json=key, timeout=self._timeout_s)

        with self._translated("POST", _REFRESH, self._timeout_s):
            response = repeated(call, after_error=_is_dropped, after_answer=_may_pass)
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise LabelStudioAuthError(
                f"Label Studio at {self.url} refused the personal access token with "
                f"{response.status_code}: {self._masked(detail_of(response))}",
                remedy=_NEW_TOKEN,
            )
        self.check(response, "POST", _REFRESH)
        try:
            return str(response.json()["access"])
        except (ValueError, KeyError, TypeError):
            # `from None`: what was answered may hold a token.
            raise LabelStudioError(
                f"POST {_REFRESH} on {self.url} answered with no JSON that has an access token.",
                remedy="Check that LABEL_STUDIO_URL is the address of Label Studio itself.",
            ) from None

    def _auth_error(self, method: str, path: str, status: int, detail: str) -> LabelStudioAuthError:
        return LabelStudioAuthError(
            f"Label Studio at {self.url} refused {method} {path} with {status}: {detail}",
            remedy="Check LABEL_STUDIO_API_KEY, that its user may see the project, and that "
            "legacy tokens are enabled if it is one.",
        )

    def _masked(self, text: str) -> str:
        return self.login.masked(text)

    @contextmanager
    def _translated(self, method: str, path: str, limit_s: float) -> Iterator[None]:
        """Turns what httpx raises inside into nnloop errors."""
        call = f"{method} {path} on {self.url}"
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise LabelStudioError(
                f"Label Studio at {self.url} can't be reached ({_reason(error)}).",
                remedy="Start it, or correct LABEL_STUDIO_URL.",
            ) from error
        except httpx.TimeoutException as error:
            raise LabelStudioError(
                f"{call} was not answered within {limit_s:g} s.",
                remedy="Try again; if it stays slow, see the log of Label Studio.",
            ) from error
        except httpx.HTTPError as error:
            raise LabelStudioError(
                f"{call} broke off ({_reason(error)}).",
                remedy="Try again; see the log of Label Studio.",
            ) from error


def _is_unsent(error: BaseException) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


def _is_dropped(error: BaseException) -> bool:
    return _is_unsent(error) or isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)


def _may_pass(answer: httpx.Response) -> bool:
    return answer.status_code in (408, 409, 429) or answer.status_code >= 500


def detail_of(response: httpx.Response) -> str:
    """What an error answer says, as one line of at most 400 characters."""
    try:
        value = response.json()
    except ValueError:
        text = "" if "html" in response.headers.get("content-type", "") else response.text
        return one_line(text, _DETAIL_LIMIT) or one_line(response.reason_phrase)
    if not isinstance(value, dict):
        return one_line(value, _DETAIL_LIMIT)
    faults = value.get("validation_errors")
    if faults:
        text = json.dumps(faults, ensure_ascii=False)
    else:
        text = str(value.get("detail") or response.reason_phrase)
    return one_line(text, _DETAIL_LIMIT)


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__


def _without_user(url: str) -> str:
    """The address without a user and password that someone may have put in it."""
    head, at, tail = url.partition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else url

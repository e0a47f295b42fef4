"""Connection: authenticated JSON calls to one Label Studio, with its failures as nnloop errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from domain.errors import LabelStudioAuthError, LabelStudioError, MissingError
from domain.text import one_line

TIMEOUT_S = 60.0
"""Seconds Label Studio may take for an ordinary call."""

LONG_TIMEOUT_S = 300.0
"""Seconds for calls whose work grows with the project (imports, deletions, backend checks)."""

CONNECT_RETRIES = 2
"""Further attempts to open a TCP connection; nothing was sent yet, so safe for every method."""

IDEMPOTENT_RETRIES = 2
"""Further attempts after a dropped connection or a 408, 409, 429, 5xx, for idempotent methods."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
_DETAIL_LIMIT = 400

Files = Mapping[str, tuple[str, bytes, str]]
"""Form field -> (file name, content, MIME type)."""


class Connection:
    """One Label Studio and the key to it.

    The SDK's own HTTP client carries the calls, because it knows both kinds of token (a legacy
    token is sent as it is, a personal access token is a refresh token that buys a five-minute
    access token). Its typed methods are not used: they repeat a POST after a dropped connection,
    which would submit an annotation twice.

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
        self._http = httpx.Client(
            timeout=timeout_s,
            follow_redirects=True,
            transport=httpx.HTTPTransport(retries=CONNECT_RETRIES),
        )
        self._wrapper = self._open_sdk()

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r}, api_key='***')"

    def close(self) -> None:
        """Closes the pooled connections."""
        self._http.close()

    def auth_headers(self) -> dict[str, str]:
        """Headers that log in to Label Studio; may buy a new access token.

        Raises:
            LabelStudioAuthError: The personal access token was refused.
            LabelStudioError: Label Studio did not answer.
        """
        with _Translated(self, "POST", "api/token/refresh/"):
            return dict(self._wrapper.get_headers())

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

        ``body`` is sent as JSON. GET, PATCH, PUT and DELETE are retried; POST is not.

        Raises:
            LabelStudioAuthError: A personal access token was refused.
            LabelStudioError: No connection, no answer in time.
        """
        headers: dict[str, str] = {}
        content: bytes | None = None
        if body is not None:
            # The SDK's own encoder walks every number of every polygon; this is plain JSON.
            content = json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
        limit = timeout_s if timeout_s is not None else self._timeout_s
        with _Translated(self, method, path, limit):
            response: httpx.Response = self._wrapper.httpx_client.request(
                path.lstrip("/"),
                method=method,
                params=dict(params) if params else None,
                content=content,
                files=dict(files) if files else None,
                headers=headers,
                request_options={
                    "timeout": limit,
                    "max_retries": IDEMPOTENT_RETRIES if method in _IDEMPOTENT else 0,
                },
            )
            return response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Sends one call and returns the parsed JSON of its answer; None for an empty answer.

        Takes the options of ``send``.

        Raises:
            LabelStudioAuthError: 401 or 403.
            MissingError: 404.
            LabelStudioError: Any other refusal, no answer, or an answer that is no JSON.
        """
        response = self.send(method, path, **options)
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

    def _open_sdk(self) -> Any:
        # Imported here: it takes a second, which `nnloop --help` should not.
        from label_studio_sdk.client import LabelStudio
        from label_studio_sdk.core.api_error import ApiError

        try:
            # The slash keeps a path prefix when the SDK joins the refresh URL.
            sdk = LabelStudio(
                base_url=self.url + "/", api_key=self._api_key, httpx_client=self._http
            )
        except ApiError as error:
            raise LabelStudioAuthError(
                f"The API key for Label Studio at {self.url} can't be used: "
                f"{_sdk_detail(error.body)}",
                remedy="Make a new token in Account & Settings and set LABEL_STUDIO_API_KEY.",
            ) from None
        return sdk._client_wrapper

    def _auth_error(self, method: str, path: str, status: int, detail: str) -> LabelStudioAuthError:
        return LabelStudioAuthError(
            f"Label Studio at {self.url} refused {method} {path} with {status}: {detail}",
            remedy="Check LABEL_STUDIO_API_KEY, that its user may see the project, and that "
            "legacy tokens are enabled if it is one.",
        )

    def _masked(self, text: str) -> str:
        return text.replace(self._api_key, "***")


class _Translated:
    """Turns what httpx and the SDK raise inside its block into nnloop errors."""

    def __init__(
        self, connection: Connection, method: str, path: str, limit_s: float = TIMEOUT_S
    ) -> None:
        self.connection, self.method, self.path, self.limit_s = connection, method, path, limit_s

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: object) -> None:
        from label_studio_sdk.core.api_error import ApiError

        call, url = f"{self.method} {self.path}", self.connection.url
        if error is None:
            return
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            raise LabelStudioError(
                f"Label Studio at {url} can't be reached ({_reason(error)}).",
                remedy="Start it, or correct LABEL_STUDIO_URL.",
            ) from error
        if isinstance(error, httpx.TimeoutException):
            raise LabelStudioError(
                f"{call} on {url} was not answered within {self.limit_s:g} s.",
                remedy="Try again; if it stays slow, see the log of Label Studio.",
            ) from error
        if isinstance(error, httpx.HTTPError):
            raise LabelStudioError(
                f"{call} on {url} broke off ({_reason(error)}).",
                remedy="Try again; see the log of Label Studio.",
            ) from error
        if isinstance(error, ApiError):  # only the token refresh raises it here
            status = error.status_code or 0
            detail = self.connection._masked(_sdk_detail(error.body))
            # `from None`: the SDK's error carries headers and the whole body.
            raise self.connection._auth_error("POST", "/api/token/refresh/", status, detail) from (
                None
            )
        if isinstance(error, json.JSONDecodeError):
            raise LabelStudioError(
                f"POST /api/token/refresh/ on {url} answered with something that is no JSON.",
                remedy="Check that LABEL_STUDIO_URL is the address of Label Studio itself.",
            ) from None


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


def _sdk_detail(body: Any) -> str:
    return one_line(body.get("detail", body) if isinstance(body, dict) else body, _DETAIL_LIMIT)


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__


def _without_user(url: str) -> str:
    """The address without a user and password that someone may have put in it."""
    head, at, tail = url.partition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else url

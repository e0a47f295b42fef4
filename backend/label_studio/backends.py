"""Backends: the rows in Label Studio that name an ML backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backend.label_studio.connection import LONG_TIMEOUT_S
from backend.label_studio.webhooks import Webhooks
from domain.errors import LabelStudioAuthError, LabelStudioError

CONNECTED = "CO"
"""Label Studio's state of a backend that answered /health and /setup."""


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """A backend as Label Studio knows it. ``state`` is ``CO`` when it could be reached."""

    id: int
    url: str
    title: str
    state: str
    error_message: str = field(default="")

    @property
    def is_connected(self) -> bool:
        """Whether the backend answered Label Studio's last check."""
        return self.state == CONNECTED


class Backends(Webhooks):
    """Calls about ML backends."""

    def list_backends(self, project_id: int) -> list[BackendInfo]:
        """The project's backends by rising id. Label Studio checks each one while it lists them."""
        rows = self._connection.json(
            "GET", "/api/ml/", params={"project": project_id}, timeout_s=LONG_TIMEOUT_S
        )
        return sorted((_backend(row) for row in rows), key=lambda b: b.id)

    def register_backend(
        self,
        project_id: int,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None = None,
        *,
        is_interactive: bool = False,
    ) -> BackendInfo:
        """Makes sure exactly one row of the project names this backend, and that it answers.

        A row with the same URL, else one with the same title (the backend has moved), is reused;
        further ones and the webhooks of addresses it left are deleted. Label Studio calls
        ``/health`` and ``/setup`` during this, so the backend must be running. It also makes a
        webhook to ``url/webhook`` without credentials (see ``ensure_webhook``), and sets the
        project's ``model_version`` to the title if it had none.

        Args:
            project_id: Where to.
            url: Address of the backend as Label Studio reaches it.
            title: Name shown to people.
            basic_auth: User and password Label Studio logs in with.
            is_interactive: Whether the editor asks it while a person draws.

        Raises:
            LabelStudioError: Also when Label Studio can't reach the backend or may not; no new
                row is left behind then.
        """
        url = url.rstrip("/")
        body: dict[str, Any] = {
            "project": project_id,
            "url": url,
            "title": title,
            "is_interactive": is_interactive,
            "auth_method": "BASIC_AUTH" if basic_auth else "NONE",
        }
        if basic_auth:
            body["basic_auth_user"], body["basic_auth_pass"] = basic_auth
        rows = [b for b in self.list_backends(project_id) if b.url == url or b.title == title]
        rows.sort(key=lambda b: (b.url != url, b.id))
        for old in rows[1:]:
            self._remove(project_id, old, keep_url=url)
        if not rows:
            return self._create(project_id, body)
        try:
            answer = self._connection.json(
                "PATCH", f"/api/ml/{rows[0].id}", body=body, timeout_s=LONG_TIMEOUT_S
            )
        except LabelStudioAuthError as error:
            raise _refused(url, error) from None
        if rows[0].url != url:
            self.remove_webhook(project_id, f"{rows[0].url}/webhook")
        return self._connected(_backend(answer))

    def remove_backend(self, project_id: int, url: str) -> bool:
        """Deletes the rows that name a backend, and its webhooks, which Label Studio would leave.

        Returns:
            Whether there was such a row.
        """
        url = url.rstrip("/")
        rows = [b for b in self.list_backends(project_id) if b.url == url]
        for row in rows:
            self._connection.json("DELETE", f"/api/ml/{row.id}")
        self.remove_webhook(project_id, f"{url}/webhook")
        return bool(rows)

    def _create(self, project_id: int, body: dict[str, Any]) -> BackendInfo:
        try:
            answer = self._connection.json("POST", "/api/ml/", body=body, timeout_s=LONG_TIMEOUT_S)
        except LabelStudioError as error:
            # A refused POST may leave its row behind (seen with a 403).
            for row in self.list_backends(project_id):
                if row.url == body["url"]:
                    self._remove(project_id, row)
            if isinstance(error, LabelStudioAuthError):
                raise _refused(body["url"], error) from None
            raise
        return self._connected(_backend(answer))

    def _connected(self, backend: BackendInfo) -> BackendInfo:
        if backend.is_connected:
            return backend
        raise LabelStudioError(
            f"Label Studio can't use the backend at {backend.url}: "
            f"{backend.error_message or 'state ' + backend.state}.",
            remedy="Check that the address is reachable from Label Studio and the password right.",
        )

    def _remove(self, project_id: int, row: BackendInfo, *, keep_url: str = "") -> None:
        self._connection.json("DELETE", f"/api/ml/{row.id}")
        if row.url != keep_url:
            self.remove_webhook(project_id, f"{row.url}/webhook")


def _refused(url: str, error: LabelStudioAuthError) -> LabelStudioError:
    """Label Studio answers 403 also where it may not call an address."""
    return LabelStudioError(
        f"Label Studio refused {url} as a backend: {error}",
        remedy="If that is a local address, start Label Studio with "
        "SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false.",
    )


def _backend(row: dict[str, Any]) -> BackendInfo:
    return BackendInfo(
        id=int(row["id"]),
        url=str(row["url"]).rstrip("/"),
        title=str(row.get("title") or ""),
        state=str(row.get("state") or ""),
        error_message=str(row.get("error_message") or "")[:400],
    )

"""Webhooks: where Label Studio reports changes to, with the headers that log it in there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.label_studio.calls import Calls


@dataclass(frozen=True, slots=True)
class WebhookInfo:
    """A webhook as Label Studio knows it. ``headers`` hold a password: not shown.

    ``is_complete``: it reports all actions, with their payload.
    """

    id: int
    url: str
    is_active: bool
    is_complete: bool
    headers: Mapping[str, str] = field(repr=False)


class Webhooks(Calls):
    """Calls about webhooks."""

    def list_webhooks(self, project_id: int) -> list[WebhookInfo]:
        """The project's webhooks by rising id, those of the whole organisation left out."""
        rows: list[dict[str, Any]] = self._connection.json(
            "GET", "/api/webhooks/", params={"project": project_id}
        )
        found = [
            WebhookInfo(
                id=int(row["id"]),
                url=str(row["url"]),
                is_active=bool(row.get("is_active", True)),
                is_complete=bool(row.get("send_for_all_actions")) and bool(row["send_payload"]),
                headers=dict(row.get("headers") or {}),
            )
            for row in rows
            if row["project"] == project_id
        ]
        return sorted(found, key=lambda hook: hook.id)

    def ensure_webhook(self, project_id: int, url: str, headers: Mapping[str, str]) -> int:
        """Makes sure exactly one active webhook of the project reports all actions to a URL.

        Label Studio makes one by itself when a backend is added, without credentials; it is
        taken over. Further ones with the same URL are deleted.

        Args:
            project_id: Whose changes.
            url: Where to report to.
            headers: Sent with every report, for example ``Authorization``. At most 10.

        Returns:
            The webhook's id.
        """
        fields = {
            "url": url,
            "headers": dict(headers),
            "send_payload": True,
            "send_for_all_actions": True,
            "is_active": True,
        }
        found = self._webhook_ids(project_id, url)
        for extra in found[1:]:
            self._connection.json("DELETE", f"/api/webhooks/{extra}/")
        if found:
            self._connection.json("PATCH", f"/api/webhooks/{found[0]}/", body=fields)
            return found[0]
        body = {"project": project_id, **fields}
        return int(self._connection.json("POST", "/api/webhooks/", body=body)["id"])

    def remove_webhook(self, project_id: int, url: str) -> int:
        """Deletes every webhook of the project to a URL; returns how many there were."""
        found = self._webhook_ids(project_id, url)
        for webhook_id in found:
            self._connection.json("DELETE", f"/api/webhooks/{webhook_id}/")
        return len(found)

    def _webhook_ids(self, project_id: int, url: str) -> list[int]:
        wanted = url.rstrip("/")
        return [h.id for h in self.list_webhooks(project_id) if h.url.rstrip("/") == wanted]

"""Webhooks: where Label Studio reports changes to, with the headers that log it in there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.label_studio.calls import Calls


class Webhooks(Calls):
    """Calls about webhooks."""

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
        rows: list[dict[str, Any]] = self._connection.json(
            "GET", "/api/webhooks/", params={"project": project_id}
        )
        return sorted(
            int(row["id"])
            for row in rows
            if row["project"] == project_id and row["url"].rstrip("/") == url.rstrip("/")
        )

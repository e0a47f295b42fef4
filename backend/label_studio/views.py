"""Views: tabs of Label Studio's Data Manager."""

from __future__ import annotations

from typing import Any

from backend.label_studio.calls import Calls

SCORE_ORDER = "tasks:predictions_score"
"""Rising prediction score; tasks without a prediction come last."""


class Views(Calls):
    """Calls about Data Manager tabs."""

    def ensure_uncertainty_view(self, project_id: int, title: str = "Most uncertain first") -> int:
        """Makes sure the project has a tab of its unlabelled tasks, lowest score first.

        Unlabelled = neither submitted nor skipped. The score is that of the project's
        ``model_version``. A tab with this title is corrected when a person changed its filter.

        Returns:
            The tab's id.
        """
        views = self._views(project_id)
        if not views:
            # Label Studio shows its default tab only while no tab is stored.
            self._create_view(project_id, {"title": "Default"})
        data: dict[str, Any] = {
            "title": title,
            "type": "list",
            "target": "tasks",
            "ordering": [SCORE_ORDER],
            "filters": {
                "conjunction": "and",
                "items": [_is_zero("total_annotations"), _is_zero("cancelled_annotations")],
            },
        }
        for view in views:
            if view["data"].get("title") == title:
                view_id = int(view["id"])
                body = {"project": project_id, "data": {**view["data"], **data}}
                self._connection.json("PATCH", f"/api/dm/views/{view_id}/", body=body)
                return view_id
        return self._create_view(project_id, data)

    def remove_views(self, project_id: int, title: str) -> int:
        """Deletes the project's tabs with this title; returns how many there were."""
        ids = [int(v["id"]) for v in self._views(project_id) if v["data"].get("title") == title]
        for view_id in ids:
            self._connection.json("DELETE", f"/api/dm/views/{view_id}/")
        return len(ids)

    def _views(self, project_id: int) -> list[dict[str, Any]]:
        views: list[dict[str, Any]] = self._connection.json(
            "GET", "/api/dm/views/", params={"project": project_id}
        )
        return views

    def _create_view(self, project_id: int, data: dict[str, Any]) -> int:
        body = {"project": project_id, "data": data}
        return int(self._connection.json("POST", "/api/dm/views/", body=body)["id"])


def _is_zero(column: str) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "equal",
        "type": "Number",
        "value": 0,
    }

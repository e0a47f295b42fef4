"""Views: tabs of Label Studio's Data Manager that list some tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backend.label_studio.calls import Calls
from backend.label_studio.task_pages import task_filter

SCORE_ORDER = "tasks:predictions_score"
"""Rising prediction score; tasks without a prediction come last."""

NO_TASK = 0
"""No task has this id: what a tab that shows nothing lists, so that its filter is never empty."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a tab shows its tasks.

    Attributes:
        order: By which field.
        columns: Beside the images in the table; Label Studio has an order of its own for them.
        beside: Of these in the narrow list beside the editor.
    """

    order: str
    columns: tuple[str, ...]
    beside: tuple[str, ...]


QUEUE = Look(
    SCORE_ORDER,
    ("id", "predictions_score", "predictions_model_versions"),
    ("id", "predictions_score"),
)
"""An annotator's queue: lowest score first, with the id by which people name a task. The score is
the mean over the predictions of the project's ``model_version``."""

CHECKING = Look("tasks:id", ("id", "annotators", "updated_at"), ("id",))
"""Labelled tasks to look at again."""

_EARLIER = Look(
    SCORE_ORDER, ("predictions_score", "predictions_model_versions"), ("predictions_score",)
)
"""How queues looked before they showed ids."""

_COLUMNS = (
    "predictions_score",
    "predictions_model_versions",
    "id",
    "inner_id",
    "completed_at",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "annotators",
    "annotations_results",
    "annotations_ids",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
)
"""Those that Label Studio 1.23.2 has: hidden in a new tab but for the look's, as a person may."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab of the Data Manager as Label Studio keeps it."""

    id: int
    data: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What stands on it."""
        return str(self.data.get("title") or "")

    @property
    def task_ids(self) -> frozenset[int]:
        """The tasks that a queue's tab lists (``queue_data``)."""
        items = (self.data.get("filters") or {}).get("items") or ()
        return frozenset(_plain(item)["value"] for item in items) - {NO_TASK}

    def shows(self, title: str, task_ids: Collection[int], look: Look = QUEUE) -> bool:
        """Whether it has this title and lists exactly these tasks, in the look's order."""
        filters = self.data.get("filters") or {}
        wanted = queue_data(title, task_ids, look)
        return (
            self.title == title
            and self.data.get("ordering") == wanted["ordering"]
            and filters.get("conjunction") == wanted["filters"]["conjunction"]
            and [*map(_plain, filters.get("items") or ())] == wanted["filters"]["items"]
        )


class Views(Calls):
    """Calls about Data Manager tabs."""

    def list_tabs(self, project_id: int) -> list[Tab]:
        """The tabs that are stored, in their order; the default one is not while it is alone."""
        rows: list[dict[str, Any]] = self._connection.json(
            "GET", "/api/dm/views/", params={"project": project_id}
        )
        return [Tab(int(row["id"]), row.get("data") or {}) for row in rows]

    def create_queue_tab(
        self, project_id: int, title: str, task_ids: Collection[int], look: Look = QUEUE
    ) -> int:
        """Makes a tab of these tasks, with image and the look's columns before all.

        Returns:
            The tab's id.
        """
        if not self.list_tabs(project_id):
            # Label Studio shows its default tab only while no tab is stored.
            self._create_tab(project_id, {"title": "Default"})
        return self._create_tab(
            project_id, {**first_look(look), **queue_data(title, task_ids, look)}
        )

    def update_queue_tab(
        self,
        project_id: int,
        tab: Tab,
        title: str,
        task_ids: Collection[int],
        look: Look = QUEUE,
    ) -> None:
        """Makes a tab list these tasks; what a person set about its looks stays."""
        data = updated_data(tab.data, title, task_ids, look)
        path = f"/api/dm/views/{tab.id}/"
        self._connection.json("PATCH", path, body={"project": project_id, "data": data})

    def delete_tab(self, tab_id: int) -> None:
        """Deletes a tab.

        Raises:
            MissingError: It is there no more.
        """
        self._connection.json("DELETE", f"/api/dm/views/{tab_id}/")

    def _create_tab(self, project_id: int, data: dict[str, Any]) -> int:
        body = {"project": project_id, "data": data}
        return int(self._connection.json("POST", "/api/dm/views/", body=body)["id"])


def tab_page(label_studio_url: str | None, project_id: int, view_id: int) -> str:
    """The address at which Label Studio shows a tab."""
    return f"{(label_studio_url or '').rstrip('/')}/projects/{project_id}/data?tab={view_id}"


def task_page(label_studio_url: str | None, project_id: int, task_id: int) -> str:
    """The address at which Label Studio opens a task with its annotations."""
    return f"{(label_studio_url or '').rstrip('/')}/projects/{project_id}/data?task={task_id}"


def queue_data(title: str, task_ids: Collection[int], look: Look = QUEUE) -> dict[str, Any]:
    """What makes a tab list some tasks, in Label Studio's words.

    One condition for each task: there is an operator ``in_list`` which its server takes, but at a
    tab with it the Data Manager of 1.23.2 shows nothing at all, whichever tab is opened.
    """
    # Sorted, so that equal sets are equal lists; at least one, for no condition would show all.
    ids = sorted(task_ids) or [NO_TASK]
    return {
        "title": title,
        "ordering": [look.order],
        "filters": {
            "conjunction": "or",
            "items": [task_filter("id", "equal", task_id, "Number") for task_id in ids],
        },
    }


def updated_data(
    data: Mapping[str, Any], title: str, task_ids: Collection[int], look: Look = QUEUE
) -> dict[str, Any]:
    """A tab's data once it lists these tasks, with the looks that people gave it.

    A tab whose columns nobody touched since an earlier nnloop made it gets those of now.
    """
    found = {**data, **queue_data(title, task_ids, look)}
    # Who hides a column by hand has it at the end of the list: nobody's choice looks like this.
    if found.get("hiddenColumns") == _hidden(_EARLIER) and look == QUEUE:
        found["hiddenColumns"] = _hidden(look)
    return found


def first_look(look: Look) -> dict[str, Any]:
    """What a tab is made with, beside ``queue_data``."""
    return {"type": "list", "target": "tasks", "hiddenColumns": _hidden(look)}


def _hidden(look: Look) -> dict[str, list[str]]:
    hidden = [f"tasks:{name}" for name in _COLUMNS if name not in look.columns]
    not_beside = [f"tasks:{name}" for name in look.columns if name not in look.beside]
    # `explore` is the table, `labeling` the list beside the editor.
    return {"explore": hidden, "labeling": [*hidden, *not_beside]}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """A condition without what Label Studio adds; it keeps some numbers as text."""
    found = {key: item.get(key) for key in ("filter", "operator", "value", "type")}
    with suppress(TypeError, ValueError):
        found["value"] = int(found["value"])  # type: ignore[arg-type]
    return found

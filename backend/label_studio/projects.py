"""Projects: find, create and change projects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from backend.label_studio.calls import Calls
from backend.label_studio.server import answered_at
from domain.errors import LabelStudioError

UNCERTAINTY_SAMPLING = "Uncertainty sampling"
"""Label Studio's name for: lowest prediction score first."""

SEQUENTIAL_SAMPLING = "Sequential sampling"
"""Label Studio's name for: one after the other, as new projects have it."""

_PAGE_SIZE = 100

# What nnloop looks at of one project; the counts that nobody asked for take Label Studio longer.
_FIELDS = (
    "id",
    "title",
    "label_config",
    "model_version",
    "sampling",
    "created_at",
    "task_number",
    "total_annotations_number",
    "skipped_annotations_number",
    "total_predictions_number",
)


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """The settings and counts of a project that nnloop looks at.

    ``label_config`` is the labelling XML, ``model_version`` the version whose predictions
    annotators see ("" if unset), ``sampling`` Label Studio's own words. ``created_at`` tells it
    from a project that had its id before. ``n_submitted`` and ``n_skipped`` count its annotations;
    ``answered_at`` is when it was answered by Label Studio's clock, in seconds since the epoch;
    None where the answer does not say.
    """

    id: int
    title: str
    label_config: str
    model_version: str
    sampling: str
    task_number: int
    total_predictions_number: int
    created_at: str = ""
    n_submitted: int = 0
    n_skipped: int = 0
    answered_at: float | None = field(default=None, compare=False)


class Projects(Calls):
    """Calls about projects."""

    def list_projects(self) -> list[ProjectInfo]:
        """Every project the key may see, by rising id."""
        rows: list[dict[str, Any]] = []
        while True:
            page = len(rows) // _PAGE_SIZE + 1
            answer = self._connection.json(
                "GET", "/api/projects/", params={"page": page, "page_size": _PAGE_SIZE}
            )
            rows += answer["results"]
            if not answer.get("next") or len(answer["results"]) < _PAGE_SIZE:
                return sorted((_project(row) for row in rows), key=lambda p: p.id)

    def project(self, project_id: int) -> ProjectInfo:
        """One project."""
        path = f"/api/projects/{project_id}/"
        answer = self._connection.send("GET", path, params={"include": ",".join(_FIELDS)})
        found = _project(self._connection.content(answer, "GET", path))
        return replace(found, answered_at=answered_at(answer))

    def find_project(self, title_or_id: str | int) -> ProjectInfo:
        """The project with this id, or with exactly this title.

        Raises:
            LabelStudioError: There is none, or several have the title.
        """
        wanted = str(title_or_id).strip()
        projects = self.list_projects()
        found = [p for p in projects if p.title == wanted]
        if not found and wanted.isdecimal():
            found = [p for p in projects if p.id == int(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(str(p.id) for p in found)
            raise LabelStudioError(
                f"{len(found)} projects have the title {wanted!r}: {ids}.",
                remedy="Name the project by its id.",
            )
        known = ", ".join(f"{p.id} {p.title!r}" for p in projects[:20]) or "none"
        raise LabelStudioError(
            f"There is no project {wanted!r} on {self._connection.url}; it has: {known}.",
            remedy="Name a project by its title or id.",
        )

    def create_project(self, title: str, label_config: str, **fields: Any) -> ProjectInfo:
        """Makes a project. Label Studio takes titles of 3 to 50 characters."""
        body = {"title": title, "label_config": label_config, **fields}
        return _project(self._connection.json("POST", "/api/projects/", body=body))

    def update_project(self, project_id: int, **fields: Any) -> ProjectInfo:
        """Changes fields by Label Studio's own names."""
        return _project(self._connection.json("PATCH", f"/api/projects/{project_id}/", body=fields))

    def delete_project(self, project_id: int) -> None:
        """Deletes a project with all its tasks and annotations."""
        self._connection.json("DELETE", f"/api/projects/{project_id}/")

    def set_model_version(self, project_id: int, version: str) -> ProjectInfo:
        """Makes a version the one annotators see and uncertainty sampling orders by.

        Raises:
            LabelStudioError: Also when the project holds no prediction of this version.
        """
        return self.update_project(project_id, model_version=version)

    def set_sampling_uncertainty(self, project_id: int) -> ProjectInfo:
        """Makes Label Studio serve the task with the lowest prediction score first."""
        return self.update_project(project_id, sampling=UNCERTAINTY_SAMPLING)


def _project(row: dict[str, Any]) -> ProjectInfo:
    return ProjectInfo(
        id=int(row["id"]),
        title=str(row.get("title") or ""),
        label_config=str(row.get("label_config") or ""),
        model_version=str(row.get("model_version") or ""),
        sampling=str(row.get("sampling") or ""),
        task_number=int(row.get("task_number") or 0),
        total_predictions_number=int(row.get("total_predictions_number") or 0),
        created_at=str(row.get("created_at") or ""),
        n_submitted=int(row.get("total_annotations_number") or 0),
        n_skipped=int(row.get("skipped_annotations_number") or 0),
    )

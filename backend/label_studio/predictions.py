"""Predictions: bulk import, read back, delete by version."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend.label_studio.calls import Calls
from backend.label_studio.connection import LONG_TIMEOUT_S, detail_of
from backend.label_studio.task_pages import one_page, portions, task_filter, task_pages
from domain.errors import PredictionError

logger = logging.getLogger(__name__)

IMPORT_ROWS = 2_000
"""Predictions per import body: 3 s of Label Studio's time, 10 MB, and for each body 0.45 s more for
each 1,000 tasks of the project, whose predictions it then counts anew."""

_FIELDS = ("id", "predictions", "task", "model_version", "score", "result", "created_at")


@dataclass(frozen=True, slots=True)
class PushedPrediction:
    """A prediction as Label Studio holds it.

    ``result`` are regions in Label Studio's JSON; ``score`` the expected quality in [0, 1] (None
    if it has none); ``id`` is None for one not stored yet, whose ``created_at`` is "".
    """

    task_id: int
    result: list[dict[str, Any]]
    score: float | None
    model_version: str
    id: int | None = None
    created_at: str = ""


class Predictions(Calls):
    """Calls about predictions."""

    def import_predictions(self, project_id: int, rows: Sequence[PushedPrediction]) -> int:
        """Stores predictions in bodies of at most 2,000, or fewer where that is too large.

        One that is too large by itself is not stored, as little as an invalid one.

        Label Studio may drop an invalid row silently, so compare the count or read back. It is no
        upsert: importing a row twice stores it twice. It does not change the project's
        ``model_version``.

        Args:
            project_id: Where to. Every task must be in it, or Label Studio refuses the body.
            rows: What to store; their ``id`` is ignored.

        Returns:
            How many Label Studio says it created.

        Raises:
            PredictionError: A score is no finite number; nothing was sent.
        """
        for row in rows:
            if row.score is not None and not math.isfinite(row.score):
                raise PredictionError(
                    f"The prediction of {row.model_version} for task {row.task_id} has the score "
                    f"{row.score}, which is no finite number.",
                    remedy="Score the task again.",
                )
        created = 0
        for start in range(0, len(rows), IMPORT_ROWS):
            body = [
                {
                    "task": row.task_id,
                    "result": row.result,
                    "score": row.score,
                    "model_version": row.model_version,
                }
                for row in rows[start : start + IMPORT_ROWS]
            ]
            created += self._import(f"/api/projects/{project_id}/import/predictions", body)
        return created

    def _import(self, path: str, body: list[dict[str, Any]]) -> int:
        """A proxy before Label Studio may take 1 MB at once: then in halves."""
        answer = self._connection.send("POST", path, body=body, timeout_s=LONG_TIMEOUT_S)
        if answer.status_code != httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            return int(self._connection.content(answer, "POST", path)["created"])
        if len(body) == 1:
            logger.warning(
                "The prediction of task %s is larger than Label Studio, or the proxy before it, "
                "takes: raise the upload limit there.",
                body[0]["task"],
            )
            return 0
        middle = len(body) // 2
        return self._import(path, body[:middle]) + self._import(path, body[middle:])

    def store_prediction(self, row: PushedPrediction) -> PushedPrediction | None:
        """Stores one prediction, at a cost that does not grow with the project's tasks.

        Returns:
            As Label Studio keeps it; None where it refuses it as invalid.
        """
        body = {
            "task": row.task_id,
            "result": row.result,
            "score": row.score,
            "model_version": row.model_version,
        }
        path = "/api/predictions/"
        answer = self._connection.send("POST", path, body=body)
        if answer.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.REQUEST_ENTITY_TOO_LARGE):
            logger.warning(
                "The prediction of task %d was refused: %s", row.task_id, detail_of(answer)
            )
            return None
        return pushed_prediction(self._connection.content(answer, "POST", path))

    def tasks_with_prediction(
        self, project_id: int, model_version: str, task_ids: Collection[int]
    ) -> set[int]:
        """Which of some tasks may have a prediction of a version: all that have, hardly any more.

        Where none has it is much less work than to read their predictions.
        """
        # Also of versions whose name begins so.
        has_it = task_filter("predictions_model_versions", "contains", [model_version], "List")
        found: set[int] = set()
        for ids in portions(task_ids):
            pages = task_pages(
                self._connection,
                project_id,
                ("id",),
                only_ids=ids,
                only=[has_it],
                is_nested=False,
            )
            found.update(int(row["id"]) for rows in pages for row in rows)
        return found

    def count_predictions_of(self, project_id: int, task_ids: Collection[int]) -> int:
        """How many predictions some tasks have in all, of whatever model, by their own counters.

        One fortieth of the work of reading them. A Label Studio with workers of its own may count
        a little later.
        """
        found = 0
        for ids in portions(task_ids):
            items = [task_filter("id", "in_list", list(ids), "Number")]
            query = {"filters": {"conjunction": "and", "items": items}}
            answer = one_page(self._connection, project_id, ("id",), query, 1, is_nested=False)
            found += int(answer["total_predictions"])
        return found

    def iter_predictions(
        self,
        project_id: int,
        model_version: str | None = None,
        *,
        task_ids: Sequence[int] | None = None,
    ) -> Iterator[PushedPrediction]:
        """Predictions of a project by rising task id, of one version or of all.

        Args:
            project_id: Which.
            model_version: None = of all versions.
            task_ids: Of these tasks alone, in one call per 250; None = of all tasks.
        """
        for portion in [()] if task_ids is None else portions(task_ids):
            for rows in task_pages(self._connection, project_id, _FIELDS, only_ids=portion):
                for task in rows:
                    for row in task["predictions"]:
                        found = pushed_prediction({**row, "task": task["id"]})
                        if model_version is None or found.model_version == model_version:
                            yield found

    def task_predictions(
        self, task_id: int, model_version: str | None = None
    ) -> list[PushedPrediction]:
        """Predictions of one task, of one version or of all, oldest first."""
        rows = self._connection.json("GET", "/api/predictions/", params={"task": task_id})
        found = sorted((pushed_prediction(row) for row in rows), key=lambda p: p.id or 0)
        return [p for p in found if model_version is None or p.model_version == model_version]

    def count_predictions(self, project_id: int) -> dict[str, int]:
        """Number of predictions by model version."""
        path = f"/api/projects/{project_id}/model-versions/"
        answer = self._connection.json("GET", path)
        return {str(version): int(count) for version, count in answer.items()}

    def set_score(self, prediction_id: int, score: float) -> None:
        """Changes the score of one prediction; its regions stay."""
        path = f"/api/predictions/{prediction_id}/"
        self._connection.json("PATCH", path, body={"score": score})

    def delete_prediction(self, prediction_id: int) -> None:
        """Deletes one prediction."""
        self._connection.json("DELETE", f"/api/predictions/{prediction_id}/")

    def clear_predictions(self, project_id: int, task_ids: Sequence[int]) -> None:
        """Deletes all predictions of some tasks, of whatever model, in one call.

        30 a second where ``delete_prediction`` does 4.
        """
        self._connection.json(
            "POST",
            "/api/dm/actions",
            params={"id": "delete_tasks_predictions", "project": project_id},
            body={"selectedItems": {"all": False, "included": list(task_ids)}},
            timeout_s=LONG_TIMEOUT_S,
        )

    def delete_model_version(self, project_id: int, version: str) -> int:
        """Deletes every prediction of a version (4 s per 1,000); returns how many there were."""
        answer = self._connection.json(
            "DELETE",
            f"/api/projects/{project_id}/model-versions/",
            body={"model_version": version},
            timeout_s=LONG_TIMEOUT_S,
        )
        return int(answer["deleted_predictions"])


def pushed_prediction(row: dict[str, Any]) -> PushedPrediction:
    """Reads Label Studio's JSON of a prediction."""
    score = row.get("score")
    return PushedPrediction(
        task_id=int(row["task"]),
        result=row.get("result") or [],
        score=float(score) if score is not None else None,
        model_version=str(row.get("model_version") or ""),
        id=int(row["id"]),
        created_at=str(row.get("created_at") or ""),
    )

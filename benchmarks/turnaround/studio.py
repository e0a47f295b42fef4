"""Studio: the calls of Label Studio that the loop makes, answered from memory by HTTP.

One project. It costs next to nothing, so that what is measured is nnloop's own time.
"""

from __future__ import annotations

import json
import operator
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = 1
KEY = "0" * 40
_MADE = "2026-01-01T00:00:00.000000Z"
_OF_DRAFTS = "filter:tasks:draft_exists"
_USER = {"id": 1, "email": "annotator@example.com"}


class Studio:
    """Tasks, annotations, predictions. Thread-safe.

    Attributes:
        pushed: Model version -> ``time.monotonic()`` at which each of its predictions came.
        shown: Model version -> when the project's ``model_version`` became it.
    """

    def __init__(self, label_config: str, images: Sequence[bytes]) -> None:
        """A project whose tasks are numbered from 1, an image (PNG) each."""
        self._lock = threading.Lock()
        self._images = list(images)
        self._tasks: dict[int, dict[str, Any]] = {
            number: {
                "id": number,
                "project": PROJECT,
                "data": {"image": f"/data/upload/{number}.png"},
                "created_at": _MADE,
                "updated_at": _MADE,
                "annotations": [],
                "predictions": [],
            }
            for number in range(1, len(images) + 1)
        }
        self._project: dict[str, Any] = {
            "id": PROJECT,
            "title": "Turnaround",
            "label_config": label_config,
            "model_version": "",
            "sampling": "",
            "created_at": _MADE,
        }
        self._rows: dict[str, list[dict[str, Any]]] = {"ml": [], "webhooks": [], "views": []}
        self._last_id = 1000
        self.pushed: dict[str, list[float]] = {}
        self.shown: dict[str, float] = {}

    @property
    def webhook(self) -> dict[str, Any]:
        """Where changes are reported to: its ``url`` and ``headers``."""
        with self._lock:
            return dict(self._rows["webhooks"][0])

    def annotate(self, task_id: int, result: list[dict[str, Any]]) -> None:
        """Submits an annotation; the caller reports it."""
        with self._lock:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self._tasks[task_id]["annotations"] = [
                {"id": self._next_id(), "result": result, "completed_by": 1, "updated_at": now}
            ]
            self._tasks[task_id]["updated_at"] = now

    def lowest_scores(self, n: int) -> list[int]:
        """The unlabelled tasks that Label Studio would serve first."""
        with self._lock:
            version = self._project["model_version"]
            scores = [
                (row["score"], task["id"])
                for task in self._tasks.values()
                for row in task["predictions"]
                if row["model_version"] == version and not task["annotations"]
            ]
        return [task_id for _, task_id in sorted(scores)[:n]]

    def versions_held(self) -> dict[str, int]:
        """Predictions held, by model version."""
        with self._lock:
            found: dict[str, int] = {}
            for task in self._tasks.values():
                for row in task["predictions"]:
                    found[row["model_version"]] = found.get(row["model_version"], 0) + 1
            return found

    def image(self, number: int) -> bytes:
        """The image of a task."""
        return self._images[number - 1]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """What Label Studio answers; KeyError for a call that nobody has made so far."""
        with self._lock:
            rows = re.fullmatch(r"/api/(ml|webhooks|dm/views)/?(\d+)?/?", path)
            if rows:
                return self._row(method, rows[1].rpartition("/")[2], int(rows[2] or 0), body)
            name = path.strip("/").removeprefix("api/")
            if name == "users":
                return [_USER]
            if name == "current-user/whoami":
                return _USER
            if name == "projects":
                return {"results": [self._project], "next": None}
            if name == f"projects/{PROJECT}":
                return self._update(body) if method == "PATCH" else self._counted()
            if name == "tasks":
                found = self._found(json.loads(query["query"][0]))
                n_predictions = sum(len(task["predictions"]) for task in found)
                page = found[: int(query["page_size"][0])]
                return {"tasks": page, "total": len(found), "total_predictions": n_predictions}
            if name == f"projects/{PROJECT}/import/predictions":
                return self._import(body)
            if name == f"projects/{PROJECT}/model-versions":
                return self._versions(method, body)
            if name == "predictions" and method == "POST":
                self._import([body])
                return {**body, "id": self._last_id}
            if name == "predictions":
                task = self._tasks[int(query["task"][0])]
                return [{**row, "task": task["id"]} for row in task["predictions"]]
            raise KeyError(f"{method} {path}")

    def _row(self, method: str, kind: str, row_id: int, body: Any) -> Any:
        rows = self._rows[kind]
        if method == "GET":
            return rows
        if method == "POST":
            rows.append({**body, "id": self._next_id(), "state": "CO"})
            return rows[-1]
        found = next(row for row in rows if row["id"] == row_id)
        if method == "DELETE":
            rows.remove(found)
            return None
        found.update(body)
        return found

    def _update(self, fields: dict[str, Any]) -> dict[str, Any]:
        version = fields.get("model_version", self._project["model_version"])
        if version != self._project["model_version"]:
            self.shown.setdefault(version, time.monotonic())
        self._project.update(fields)
        return self._project

    def _counted(self) -> dict[str, Any]:
        n_submitted = sum(len(task["annotations"]) for task in self._tasks.values())
        counts = {"task_number": len(self._tasks), "total_annotations_number": n_submitted}
        return {**self._project, **counts, "skipped_annotations_number": 0}

    def _found(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        found = list(self._tasks.values())
        for item in asked.get("filters", {}).get("items", []):
            if item["filter"] == _OF_DRAFTS:
                return []  # nobody is at the editor
            found = [task for task in found if _fits(task, item)]
        if asked.get("ordering") == ["-tasks:updated_at"]:
            found.sort(key=lambda task: str(task["updated_at"]), reverse=True)
        return found

    def _import(self, rows: list[dict[str, Any]]) -> dict[str, int]:
        now = time.monotonic()
        for row in rows:
            held = self._tasks[int(row["task"])]["predictions"]
            if not any(other["model_version"] == row["model_version"] for other in held):
                self.pushed.setdefault(row["model_version"], []).append(now)
            held.append({**row, "id": self._next_id()})
        return {"created": len(rows)}

    def _versions(self, method: str, body: Any) -> dict[str, int]:
        counts: dict[str, int] = {}
        for task in self._tasks.values():
            for row in list(task["predictions"]):
                version = row["model_version"]
                counts[version] = counts.get(version, 0) + 1
                if method == "DELETE" and version == body["model_version"]:
                    task["predictions"].remove(row)
        if method == "DELETE":
            return {"deleted_predictions": counts.get(body["model_version"], 0)}
        return counts

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id


def _fits(task: dict[str, Any], item: dict[str, Any]) -> bool:
    name, wanted = item["filter"].removeprefix("filter:tasks:"), item["value"]
    if name == "predictions_model_versions":
        return any(row["model_version"] in wanted for row in task["predictions"])
    fits: dict[str, Callable[[Any, Any], bool]] = {
        "greater": operator.gt,
        "greater_or_equal": operator.ge,
        "less_or_equal": operator.le,
        "in_list": lambda value, listed: value in listed,
    }
    return fits[item["operator"]](task[name], wanted)


class StudioServer(ThreadingHTTPServer):
    """Serves a Studio on a free port of this machine."""

    daemon_threads = True

    def __init__(self, studio: Studio) -> None:
        """Listens; ``serve_forever`` answers."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.studio = studio

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StudioServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        image = re.fullmatch(r"/data/upload/(\d+)\.png", parts.path)
        if image:
            self._send(200, "image/png", self.server.studio.image(int(image[1])))
            return
        body = json.loads(content) if content else None
        try:
            found = self.server.studio.answer(self.command, parts.path, parse_qs(parts.query), body)
        except (KeyError, StopIteration) as error:
            self._send(404, "application/json", json.dumps({"detail": repr(error)}).encode())
            return
        self._send(200, "application/json", json.dumps(found).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

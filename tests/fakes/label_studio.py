"""A Label Studio in memory, with the calls that the pipeline makes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backend.label_studio import (
    BackendInfo,
    ProjectInfo,
    PushedPrediction,
    TaskHead,
    User,
    plain_name,
)
from backend.label_studio.images import FetchedImage
from backend.label_studio.views import QUEUE, Look, Tab, first_look, queue_data, updated_data
from backend.label_studio.webhooks import WebhookInfo
from domain.annotation import Annotation, Task
from domain.errors import ImageError, LabelStudioError, MissingError

CONFIG = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/><Label value="wall"/></PolygonLabels></View>'
)


class FakeLabelStudio:
    """Takes the place of LabelStudioClient for one project.

    ``calls`` lists the names of all calls in order, ``fetched`` the tasks whose images were read,
    ``read`` the tasks that were, ``looked_at`` those whose predictions were asked for (None: all).
    ``is_down`` makes every call fail; ``drops`` are tasks whose predictions the bulk import loses
    without a word, as the real one does; ``while_reading`` is called in the middle of a reading.
    ``now`` is when new tasks are made; ``tags`` are those of images, by default of their bytes.
    ``release`` is its version; ``on_update`` is called when its project is changed, as its webhook.
    ``users`` are everybody, the first of them the key's; ``drafts`` are who has begun a task.
    Its clock is ``clock_ahead_s`` ahead of ours. Whatever is done to ``tasks`` is a change with a
    time of its own, as the real one's; ``silently`` does it without.
    """

    def __init__(self, project_id: int = 1, label_config: str = CONFIG) -> None:
        self.info = ProjectInfo(project_id, "Carotid", label_config, "", "", 0, 0)
        self.clock_ahead_s = 0.0
        self.tasks: dict[int, Task] = _Tasks(self)
        self.images: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.predictions: list[PushedPrediction] = []
        self.drops: set[int] = set()
        self.is_down = False
        self.while_reading: Callable[[], None] = lambda: None
        self.calls: list[str] = []
        self.fetched: list[int] = []
        self.read: list[int] = []
        self.looked_at: list[list[int] | None] = []
        self.webhooks: dict[str, dict[str, str]] = {}
        self.backends: list[BackendInfo] = []
        self.tabs: dict[int, dict[str, Any]] = {}
        self.release = "1.23.2"
        self.on_update: Callable[[], None] = lambda: None
        self.users = [User(1, "admin@example.com")]
        self.drafts: dict[int, set[int]] = {}
        self.now = "2026-01-01T00:00:00.000000Z"
        self._annotation_id = 100
        self._stamp = 0.0
        self._tab_id = 0
        self._prediction_id = 0

    # What a person does in the editor.

    def add_task(self, task_id: int, image: npt.NDArray[Any] | None = None, **data: Any) -> None:
        """A task with an image of its own (grey noise unless given)."""
        uri = f"/data/upload/{task_id}.png"
        if image is None:
            image = np.random.default_rng(task_id).integers(0, 255, (40, 48), dtype=np.uint8)
        self.images[uri] = png(image)
        self.tasks[task_id] = Task(
            task_id, self.info.id, {"image": uri, **data}, created_at=self.now
        )

    def label(
        self,
        task_id: int,
        *results: dict[str, Any],
        was_cancelled: bool = False,
        by: int | None = None,
        at: str = "",
        **values: Any,
    ) -> int:
        """Submits an annotation, as a person at a time; returns its id.

        ``values`` are further ones of an Annotation.
        """
        self.drafts.pop(task_id, None)
        self._annotation_id += 1
        annotation = Annotation(
            id=self._annotation_id,
            task_id=task_id,
            result=list(results),
            was_cancelled=was_cancelled,
            completed_by=by,
            created_at=at,
            updated_at=f"2026-01-01T00:00:{self._annotation_id:05d}Z",
            **values,
        )
        task = self.tasks[task_id]
        self.tasks[task_id] = replace(task, annotations=(*task.annotations, annotation))
        return annotation.id

    def unlabel(self, task_id: int) -> None:
        """Deletes the annotations of a task."""
        self.tasks[task_id] = replace(self.tasks[task_id], annotations=())

    def tab_of(self, title: str) -> tuple[int, ...]:
        """The tasks that a tab lists, in its order: by the project's version, rising."""
        (data,) = (data for data in self.tabs.values() if data["title"] == title)
        assert data["ordering"] == ["tasks:predictions_score"]
        assert data["filters"]["conjunction"] == "or"
        listed = [item["value"] for item in data["filters"]["items"]]
        scores = {
            row.task_id: row.score
            for row in self.predictions
            if row.model_version == self.info.model_version
        }
        there = [i for i in listed if i in self.tasks]
        return tuple(sorted(there, key=lambda i: (scores.get(i) is None, scores.get(i) or 0.0, i)))

    def titles(self) -> list[str]:
        """Of the tabs that are stored, in their order."""
        return [data["title"] for data in self.tabs.values()]

    def silently(self, task: Task) -> None:
        """Puts a task there as it is given, whatever its ``updated_at``."""
        dict.__setitem__(self.tasks, task.id, task)

    def stamp(self) -> str:
        """The time by its clock, later than any before while the clock is not set."""
        self._stamp = max(self._stamp + 1e-6, time.time())
        at = datetime.fromtimestamp(self._stamp + self.clock_ahead_s, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def restart_clock(self) -> None:
        """Its clock says again what ours says, although that was set back."""
        self._stamp = 0.0

    # The client's calls.

    def health(self) -> bool:
        self._called("health")
        return True

    def version(self) -> str:
        self._called("version")
        return self.release

    def home(self) -> str:
        self._called("home")
        return "http://localhost:8080/user/login/"

    def clock(self) -> float | None:
        self._called("clock")
        return float(int(time.time() + self.clock_ahead_s))

    def whoami(self) -> User:
        self._called("whoami")
        return self.users[0]

    def list_users(self) -> list[User]:
        self._called("list_users")
        return list(self.users)

    def drafted_tasks(self, project_id: int) -> list[int]:
        self._called("drafted_tasks")
        return sorted(task_id for task_id, owners in self.drafts.items() if owners)

    def draft_owners(self, task_id: int) -> set[int]:
        self._called("draft_owners")
        return self.drafts.get(task_id, set())

    def list_tabs(self, project_id: int) -> list[Tab]:
        self._called("list_tabs")
        return [Tab(number, data) for number, data in self.tabs.items()]

    def create_queue_tab(
        self, project_id: int, title: str, task_ids: Collection[int], look: Look = QUEUE
    ) -> int:
        self._called("create_queue_tab")
        if not self.tabs:
            self._make_tab({"title": "Default"})
        return self._make_tab({**first_look(look), **queue_data(title, task_ids, look)})

    def update_queue_tab(
        self,
        project_id: int,
        tab: Tab,
        title: str,
        task_ids: Collection[int],
        look: Look = QUEUE,
    ) -> None:
        self._called("update_queue_tab")
        if tab.id not in self.tabs:
            raise MissingError(f"There is no tab {tab.id}.")
        self.tabs[tab.id] = updated_data(tab.data, title, task_ids, look)

    def delete_tab(self, tab_id: int) -> None:
        self._called("delete_tab")
        if self.tabs.pop(tab_id, None) is None:
            raise MissingError(f"There is no tab {tab_id}.")

    def _make_tab(self, data: dict[str, Any]) -> int:
        self._tab_id += 1
        self.tabs[self._tab_id] = data
        return self._tab_id

    def project(self, project_id: int) -> ProjectInfo:
        self._called("project")
        self._is_known(project_id)
        annotations = [a for task in self.tasks.values() for a in task.annotations]
        n_skipped = sum(a.was_cancelled for a in annotations)
        return replace(
            self.info,
            task_number=len(self.tasks),
            total_predictions_number=len(self.predictions),
            n_submitted=len(annotations) - n_skipped,
            n_skipped=n_skipped,
            answered_at=float(int(time.time() + self.clock_ahead_s)),
        )

    def list_projects(self) -> list[ProjectInfo]:
        self._called("list_projects")
        return [self.info]

    def find_project(self, title_or_id: str | int) -> ProjectInfo:
        self._called("find_project")
        if str(title_or_id) not in (self.info.title, str(self.info.id)):
            raise LabelStudioError(f"There is no project {title_or_id!r}.")
        return self.info

    def iter_tasks(
        self,
        project_id: int,
        *,
        updated_after: str = "",
        task_ids: Collection[int] | None = None,
    ) -> Iterator[Task]:
        self._called("iter_tasks")
        self._is_known(project_id)
        # As pages are: what is asked for by a later one is looked up then.
        last_id = -1
        while True:
            left = [i for i in self.tasks if i > last_id and (task_ids is None or i in task_ids)]
            left = [i for i in left if self._is_after(i, updated_after)]
            if not left:
                return
            last_id = min(left)
            self._answers()
            self.read.append(last_id)
            yield self.tasks[last_id]
            self.while_reading()

    def _is_after(self, task_id: int, moment: str) -> bool:
        return not moment or _time_of(self.tasks[task_id].updated_at) > _time_of(moment)

    def next_tasks(self, project_id: int, after_id: int, limit: int) -> list[Task]:
        self._called("next_tasks")
        self._is_known(project_id)
        ids = sorted(i for i in self.tasks if i > after_id)[:limit]
        self.read += ids
        return [self.tasks[i] for i in ids]

    def newest_change(self, project_id: int) -> str:
        self._called("newest_change")
        return max((task.updated_at for task in self.tasks.values()), key=_time_of, default="")

    def count_tasks(self, project_id: int, first_id: int, last_id: int) -> int:
        self._called("count_tasks")
        return sum(first_id <= task_id <= last_id for task_id in self.tasks)

    def existing_tasks(self, project_id: int, task_ids: Collection[int]) -> set[int]:
        self._called("existing_tasks")
        return set(task_ids) & self.tasks.keys()

    def unopened_task(self, project_id: int, task_id: int) -> Task:
        self._called("unopened_task")
        self._is_known(project_id)
        if task_id not in self.tasks:
            raise LabelStudioError(f"There is no task {task_id}.")
        return self.tasks[task_id]

    def annotate(
        self,
        task_id: int,
        result: Sequence[dict[str, Any]],
        *,
        was_cancelled: bool = False,
        ground_truth: bool = False,
        lead_time: float | None = None,
        parent_prediction: int | None = None,
        completed_by: int | None = None,
    ) -> int:
        self._called("annotate")
        return self.label(
            task_id,
            *result,
            was_cancelled=was_cancelled,
            ground_truth=ground_truth,
            lead_time_s=lead_time,
            parent_prediction=parent_prediction,
            by=completed_by,
        )

    def import_images(self, project_id: int, files: Sequence[tuple[str, bytes]]) -> list[int]:
        self._called("import_images")
        made = []
        for name, content in files:
            task_id = max(self.tasks, default=0) + 1
            uri = f"/data/upload/{project_id}/{task_id:08x}-{plain_name(name)}"
            self.images[uri] = content
            self.tasks[task_id] = Task(task_id, project_id, {"image": uri}, created_at=self.now)
            made.append(task_id)
        return made

    def import_tasks(self, project_id: int, data: Sequence[dict[str, Any]]) -> list[int]:
        self._called("import_tasks")
        made = []
        for fields in data:
            task_id = max(self.tasks, default=0) + 1
            self.tasks[task_id] = Task(task_id, project_id, dict(fields), created_at=self.now)
            made.append(task_id)
        return made

    def update_data(self, task_id: int, data: dict[str, Any]) -> None:
        self._called("update_data")
        self.tasks[task_id] = replace(self.tasks[task_id], data=dict(data))

    def uploaded_tasks(self, project_id: int, names: Collection[str]) -> dict[str, list[int]]:
        self._called("uploaded_tasks")
        stored = {plain_name(name): name for name in names}
        found: dict[str, list[int]] = {}
        for task in sorted(self.tasks.values(), key=lambda task: task.id):
            name = stored.get(str(task.data["image"]).rpartition("/")[2].partition("-")[2])
            if name is not None:
                found.setdefault(name, []).append(task.id)
        return found

    def update_annotation(self, annotation_id: int, result: Sequence[dict[str, Any]]) -> None:
        self._called("update_annotation")
        self._annotation_id += 1  # its dates come from it
        for task in list(self.tasks.values()):
            if all(a.id != annotation_id for a in task.annotations):
                continue
            changed = tuple(
                replace(
                    a,
                    result=list(result),
                    updated_at=f"2026-01-01T00:00:{self._annotation_id:05d}Z",
                )
                if a.id == annotation_id
                else a
                for a in task.annotations
            )
            self.tasks[task.id] = replace(task, annotations=changed)

    def iter_heads(self, project_id: int) -> Iterator[TaskHead]:
        self._called("iter_heads")
        self._is_known(project_id)
        for task in sorted(self.tasks.values(), key=lambda task: task.id):
            yield TaskHead(task.id, task.data, task.created_at)

    def fetch_image(
        self, uri: str, task_id: int, project_id: int, *, max_bytes: int = 512 * 1024 * 1024
    ) -> bytes:
        if self.is_down:
            raise ImageError(task_id, "image_unreachable", "the image can't be reached.")
        self.calls.append("fetch_image")
        self.fetched.append(task_id)
        if uri not in self.images:
            raise ImageError(task_id, "image_missing", "the image does not exist.")
        return self.images[uri]

    def fetch_changed(
        self,
        uri: str,
        task_id: int,
        project_id: int,
        *,
        unless_tag: str = "",
        max_bytes: int = 512 * 1024 * 1024,
    ) -> FetchedImage | None:
        tag = self.tags.get(uri, f"etag {hash(self.images.get(uri))}")
        if tag and tag == unless_tag:
            self.calls.append("fetch_changed")
            return None
        return FetchedImage(self.fetch_image(uri, task_id, project_id), tag)

    def import_predictions(self, project_id: int, rows: Sequence[PushedPrediction]) -> int:
        self._called("import_predictions")
        if any(row.task_id not in self.tasks for row in rows):
            raise LabelStudioError("Label Studio refused POST import/predictions with 400.")
        taken = [row for row in rows if row.task_id not in self.drops]
        self._prediction_id += len(taken)
        self.predictions += [
            replace(row, id=self._prediction_id - number, created_at=self.now)
            for number, row in enumerate(taken)
        ]
        return len(taken)

    def store_prediction(self, row: PushedPrediction) -> PushedPrediction | None:
        self._called("store_prediction")
        if row.task_id not in self.tasks or row.task_id in self.drops:
            return None
        self._prediction_id += 1
        stored = replace(row, id=self._prediction_id, created_at=self.now)
        self.predictions.append(stored)
        return stored

    def tasks_with_prediction(
        self, project_id: int, model_version: str, task_ids: Collection[int]
    ) -> set[int]:
        self._called("tasks_with_prediction")
        there = {r.task_id for r in self.predictions if model_version in r.model_version}
        return there & set(task_ids)

    def count_predictions_of(self, project_id: int, task_ids: Collection[int]) -> int:
        self._called("count_predictions_of")
        return sum(row.task_id in task_ids for row in self.predictions)

    def iter_predictions(
        self,
        project_id: int,
        model_version: str | None = None,
        *,
        task_ids: Sequence[int] | None = None,
    ) -> Iterator[PushedPrediction]:
        self._called("iter_predictions")
        self.looked_at.append(None if task_ids is None else sorted(task_ids))
        for row in sorted(self.predictions, key=lambda row: row.task_id):
            if task_ids is not None and row.task_id not in task_ids:
                continue
            if model_version is None or row.model_version == model_version:
                yield row

    def count_predictions(self, project_id: int) -> dict[str, int]:
        self._called("count_predictions")
        versions = [row.model_version for row in self.predictions]
        return {version: versions.count(version) for version in versions}

    def set_model_version(self, project_id: int, version: str) -> ProjectInfo:
        self._called("set_model_version")
        if version not in {row.model_version for row in self.predictions}:
            raise LabelStudioError(f"The project holds no prediction of {version!r}.")
        self.info = replace(self.info, model_version=version)
        return self.info

    def delete_model_version(self, project_id: int, version: str) -> int:
        self._called("delete_model_version")
        kept = [row for row in self.predictions if row.model_version != version]
        n_deleted = len(self.predictions) - len(kept)
        self.predictions = kept
        return n_deleted

    def task_predictions(
        self, task_id: int, model_version: str | None = None
    ) -> list[PushedPrediction]:
        self._called("task_predictions")
        return [row for row in self.iter_predictions(self.info.id) if row.task_id == task_id]

    def set_score(self, prediction_id: int, score: float) -> None:
        self._called("set_score")
        if prediction_id not in {row.id for row in self.predictions}:
            raise MissingError("Label Studio has no such prediction.")
        self.predictions = [
            replace(row, score=score) if row.id == prediction_id else row
            for row in self.predictions
        ]

    def clear_predictions(self, project_id: int, task_ids: Sequence[int]) -> None:
        self._called("clear_predictions")
        self.predictions = [row for row in self.predictions if row.task_id not in task_ids]

    def delete_prediction(self, prediction_id: int) -> None:
        self._called("delete_prediction")
        self.predictions = [row for row in self.predictions if row.id != prediction_id]

    def list_backends(self, project_id: int) -> list[BackendInfo]:
        self._called("list_backends")
        return list(self.backends)

    def list_webhooks(self, project_id: int) -> list[WebhookInfo]:
        self._called("list_webhooks")
        return [
            WebhookInfo(number, url, True, True, headers)
            for number, (url, headers) in enumerate(self.webhooks.items())
        ]

    def remove_backend(self, project_id: int, url: str) -> bool:
        self._called("remove_backend")
        n_before = len(self.backends)
        self.backends = [backend for backend in self.backends if backend.url != url]
        self.webhooks.pop(f"{url}/webhook", None)
        return len(self.backends) < n_before

    def remove_webhook(self, project_id: int, url: str) -> int:
        self._called("remove_webhook")
        return int(self.webhooks.pop(url, None) is not None)

    def update_project(self, project_id: int, **fields: Any) -> ProjectInfo:
        self._called("update_project")
        self.info = replace(self.info, **fields)
        self.on_update()
        return self.info

    def set_sampling_uncertainty(self, project_id: int) -> ProjectInfo:
        self._called("set_sampling_uncertainty")
        self.info = replace(self.info, sampling="Uncertainty sampling")
        return self.info

    def register_backend(
        self,
        project_id: int,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None = None,
        *,
        is_interactive: bool = False,
    ) -> BackendInfo:
        self._called("register_backend")
        backend = BackendInfo(1, url, title, "CO")
        self.backends = [backend]
        self.webhooks.setdefault(f"{url}/webhook", {})
        if not self.info.model_version:
            self.info = replace(self.info, model_version=title)
        return backend

    def ensure_webhook(self, project_id: int, url: str, headers: Mapping[str, str]) -> int:
        self._called("ensure_webhook")
        self.webhooks[url] = dict(headers)
        return 1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self._answers()

    def _answers(self) -> None:
        if self.is_down:
            raise LabelStudioError("Label Studio can't be reached.", remedy="Start it.")

    def _is_known(self, project_id: int) -> None:
        if project_id != self.info.id:
            raise MissingError(f"There is no project {project_id}.")


class _Tasks(dict[int, Task]):
    """Tasks by id; each gets the time at which it is put there."""

    def __init__(self, studio: FakeLabelStudio) -> None:
        super().__init__()
        self._studio = studio

    def __setitem__(self, task_id: int, task: Task) -> None:
        super().__setitem__(task_id, replace(task, updated_at=self._studio.stamp()))


def _time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def png(image: npt.NDArray[Any]) -> bytes:
    """An array as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def polygon(label: str = "lumen", *, at: float = 20.0, size: float = 40.0) -> dict[str, Any]:
    """A square region, in percent."""
    far = at + size
    return {
        "id": f"r{label}{at:g}",
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": 48,
        "original_height": 40,
        "value": {
            "points": [[at, at], [far, at], [far, far], [at, far]],
            "closed": True,
            "polygonlabels": [label],
        },
    }

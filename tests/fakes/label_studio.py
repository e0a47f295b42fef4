"""A Label Studio in memory, with the calls that the pipeline makes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backend.label_studio import BackendInfo, PredictionRow, ProjectInfo, TaskHead
from domain.annotation import Annotation, Task
from domain.errors import ImageError, LabelStudioError

CONFIG = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/><Label value="wall"/></PolygonLabels></View>'
)


class FakeLabelStudio:
    """Takes the place of LabelStudioClient for one project.

    ``calls`` lists the names of all calls in order, ``fetched`` the tasks whose images were read.
    ``is_down`` makes every call fail; ``drops`` are tasks whose predictions the bulk import loses
    without a word, as the real one does; ``while_reading`` is called in the middle of a reading.
    """

    def __init__(self, project_id: int = 1, label_config: str = CONFIG) -> None:
        self.info = ProjectInfo(project_id, "Carotid", label_config, "", "", 0, 0, 0)
        self.tasks: dict[int, Task] = {}
        self.images: dict[str, bytes] = {}
        self.predictions: list[PredictionRow] = []
        self.drops: set[int] = set()
        self.is_down = False
        self.while_reading: Callable[[], None] = lambda: None
        self.calls: list[str] = []
        self.fetched: list[int] = []
        self.webhooks: dict[str, dict[str, str]] = {}
        self._annotation_id = 100

    # What a person does in the editor.

    def add_task(self, task_id: int, image: npt.NDArray[Any] | None = None, **data: Any) -> None:
        """A task with an image of its own (grey noise unless given)."""
        uri = f"/data/upload/{task_id}.png"
        if image is None:
            image = np.random.default_rng(task_id).integers(0, 255, (40, 48), dtype=np.uint8)
        self.images[uri] = png(image)
        self.tasks[task_id] = Task(task_id, self.info.id, {"image": uri, **data})

    def label(self, task_id: int, *results: dict[str, Any], was_cancelled: bool = False) -> int:
        """Submits an annotation; returns its id."""
        self._annotation_id += 1
        annotation = Annotation(
            id=self._annotation_id,
            task_id=task_id,
            result=list(results),
            was_cancelled=was_cancelled,
            updated_at=f"2026-01-01T00:00:{self._annotation_id:05d}Z",
        )
        task = self.tasks[task_id]
        self.tasks[task_id] = replace(task, annotations=(*task.annotations, annotation))
        return annotation.id

    def unlabel(self, task_id: int) -> None:
        """Deletes the annotations of a task."""
        self.tasks[task_id] = replace(self.tasks[task_id], annotations=())

    # The client's calls.

    def project(self, project_id: int) -> ProjectInfo:
        self._called("project")
        self._is_known(project_id)
        return self.info

    def find_project(self, title_or_id: str | int) -> ProjectInfo:
        self._called("find_project")
        if str(title_or_id) not in (self.info.title, str(self.info.id)):
            raise LabelStudioError(f"There is no project {title_or_id!r}.")
        return self.info

    def iter_tasks(self, project_id: int, *, updated_after: str = "") -> Iterator[Task]:
        self._called("iter_tasks")
        self._is_known(project_id)
        for task in sorted(self.tasks.values(), key=lambda task: task.id):
            self._answers()
            yield task
            self.while_reading()

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

    def import_predictions(self, project_id: int, rows: Sequence[PredictionRow]) -> int:
        self._called("import_predictions")
        if any(row.task_id not in self.tasks for row in rows):
            raise LabelStudioError("Label Studio refused POST import/predictions with 400.")
        taken = [row for row in rows if row.task_id not in self.drops]
        self.predictions += taken
        return len(taken)

    def iter_predictions(
        self, project_id: int, model_version: str | None = None
    ) -> Iterator[PredictionRow]:
        self._called("iter_predictions")
        for row in sorted(self.predictions, key=lambda row: row.task_id):
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
        return BackendInfo(1, url, title, "CO")

    def ensure_webhook(self, project_id: int, url: str, headers: Mapping[str, str]) -> int:
        self._called("ensure_webhook")
        self.webhooks[url] = dict(headers)
        return 1

    def ensure_uncertainty_view(self, project_id: int, title: str = "Most uncertain first") -> int:
        self._called("ensure_uncertainty_view")
        return 1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self._answers()

    def _answers(self) -> None:
        if self.is_down:
            raise LabelStudioError("Label Studio can't be reached.", remedy="Start it.")

    def _is_known(self, project_id: int) -> None:
        if project_id != self.info.id:
            raise LabelStudioError(f"There is no project {project_id}.")


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

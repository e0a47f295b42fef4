"""A Label Studio project as a source of tasks and images for exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from backend.label_studio import LabelStudioClient, PushedPrediction
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.images import image_keys_of, image_uri
from backend.pipeline.labels.shown import as_shown
from backend.store.identity import source_in
from backend.store.models import PredictionRow, ProjectRow
from backend.store.tasks import predictions
from backend.store.training import versions
from converters.exports.item import SourceTask
from converters.exports.run import Source
from converters.images.image_pixels import read_picture
from converters.label_studio.predicted import needs_predictions
from domain.annotation import LeftOut, Task
from domain.errors import ImageError, PredictionError
from domain.geometry import Pixels
from domain.labels import LabelConfig

_CHUNK = 250


class ProjectTasks:
    """The tasks of a project as they are now, read in pages; nnloop need not know the project."""

    def __init__(self, context: AppContext, project_id: int) -> None:
        self._context, self._project_id = context, project_id

    def __iter__(self) -> Iterator[SourceTask]:
        for task in self._context.label_studio.iter_tasks(self._project_id):
            yield SourceTask(task, predicted=self.predicted(task))

    def predicted(self, task: Task) -> tuple[dict[str, Any], ...]:
        """The regions of all predictions known for a task, where reading it depends on them."""
        if not any(needs_predictions(annotation.result) for annotation in task.annotations):
            return ()
        with self._context.store.begin() as session:
            return tuple(predictions.results_of_task(session, task.id))


class ProjectTasksPredicted:
    """The tasks of a project as they are now, each with its prediction.

    Args:
        tasks: The same tasks.
        predictions: Of which version.
    """

    def __init__(self, tasks: ProjectTasks, predictions: Source) -> None:
        self._tasks, self._predictions = tasks, predictions

    def __iter__(self) -> Iterator[SourceTask | LeftOut]:
        for entry in self._predictions:
            if isinstance(entry, SourceTask):
                entry = SourceTask(entry.task, entry.predictions, self._tasks.predicted(entry.task))
            yield entry


class ProjectPredictions:
    """The tasks of a project with the serving version's predictions.

    Those of nnloop's store where it has a serving version (also predictions not pushed yet), else
    those Label Studio holds of the project's ``model_version``.

    Args:
        context: The process's context.
        project_id: Which project.
        model_version: Another version to take, as Label Studio names it; None: the serving one.

    Raises:
        PredictionError: The project has no serving version.
    """

    def __init__(
        self, context: AppContext, project_id: int, model_version: str | None = None
    ) -> None:
        self._context, self._project_id = context, project_id
        self._version_id, self.version = None, model_version or ""
        self._image_keys: tuple[str, ...] | None = None
        with context.store.begin() as session:
            row = session.get(ProjectRow, project_id)
            if row is not None:
                known = {v.name: v.id for v in versions.versions_of(session, project_id)}
                champion = versions.champion(session, project_id)
                if not self.version and champion is not None:
                    self.version = champion.name
                self._version_id = known.get(self.version)
                self._image_keys = image_keys_of(row.label_config, row.settings)
        self.version = self.version or context.label_studio.project(project_id).model_version
        if not self.version:
            raise PredictionError(
                f"Project {project_id} has no serving version.",
                remedy="Train one, or name one with --model-version.",
            )

    def __iter__(self) -> Iterator[SourceTask]:
        tasks = self._context.label_studio.iter_tasks(self._project_id)
        return self._from_label_studio(tasks) if self._version_id is None else self._stored(tasks)

    def _stored(self, tasks: Iterator[Task]) -> Iterator[SourceTask]:
        assert self._version_id is not None  # noqa: S101 - __iter__ looked
        while chunk := list(islice(tasks, _CHUNK)):
            with self._context.store.begin() as session:
                found = predictions.find(session, self._version_id, [task.id for task in chunk])
            for task in chunk:
                row = found.get(task.id)
                if row is None or row.error or not self._is_of(row, task):
                    yield SourceTask(task, ())
                else:
                    yield SourceTask(task, (self._row(row.result, row.score),))

    def _is_of(self, row: PredictionRow, task: Task) -> bool:
        """Whether a prediction is of the task as it is now, which the store may not know yet."""
        keys = self._image_keys
        return (
            not row.source
            or keys is None
            or row.source == source_in(task.data, task.created_at, keys)
        )

    def _from_label_studio(self, tasks: Iterator[Task]) -> Iterator[SourceTask]:
        """Tasks and predictions both come by rising task id: they are merged."""
        held = self._context.label_studio.iter_predictions(self._project_id, self.version)
        ahead: PushedPrediction | None = next(held, None)
        for task in tasks:
            found: tuple[dict[str, Any], ...] = ()
            while ahead is not None and ahead.task_id <= task.id:
                if ahead.task_id == task.id:
                    found = (self._row(ahead.result, ahead.score),)
                ahead = next(held, None)
            yield SourceTask(task, found)

    def _row(self, result: list[dict[str, Any]], score: float | None) -> dict[str, Any]:
        return {"model_version": self.version, "score": score, "result": result}


def in_labels_of_today(source: Source, config: LabelConfig) -> Iterator[SourceTask | LeftOut]:
    """The same tasks, their predictions under the names that the interface has now."""
    for entry in source:
        if isinstance(entry, SourceTask):
            rows = (
                {**row, "result": as_shown(row["result"], config.group)[0]}
                for row in entry.predictions
            )
            yield SourceTask(entry.task, tuple(rows))
        else:
            yield entry


class ProjectImages:
    """The images of a project's tasks, fetched through Label Studio.

    Their size is known only once they are fetched; an address stands for its content.

    Args:
        client: Of the server that serves them.
        image_keys: The task data fields of the channels, at least one.
    """

    def __init__(self, client: LabelStudioClient, image_keys: Sequence[str]) -> None:
        self._client, self._image_keys = client, tuple(image_keys)
        self._spacing_mm: tuple[int, tuple[float, float] | None] = (0, None)

    def stamp(self, task: Task) -> str:
        """The images' addresses; "" when the task has not the first."""
        values = [task.data.get(key) for key in self._image_keys]
        uris = [value if isinstance(value, str) else "" for value in values]
        return "\n".join(uris) if uris[0] else ""

    def doubtful(self) -> Iterator[ImageError]:
        """None: each task's own is fetched."""
        yield from ()

    def size_hw(self, task: Task) -> tuple[int, int] | None:
        """Always None."""
        return None

    def read(self, task: Task, key: str) -> Pixels:
        """Fetches and decodes the image."""
        uri = image_uri(task, key)
        data = self._client.fetch_image(uri, task.id, task.project_id)
        picture = read_picture(data, task.id)
        if key == self._image_keys[0]:
            self._spacing_mm = task.id, picture.spacing_mm
        return picture.pixels

    def spacing_mm(self, task: Task) -> tuple[float, float] | None:
        """Of the image that was fetched last: none is fetched for its size alone."""
        return self._spacing_mm[1] if self._spacing_mm[0] == task.id else None

    def missing(self, task: Task) -> ImageError | None:
        """Why the data have no first image; whether its server has it shows when it is fetched."""
        try:
            image_uri(task, self._image_keys[0])
        except ImageError as error:
            return error
        return None

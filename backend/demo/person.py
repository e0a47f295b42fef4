"""The simulated annotator: works through Label Studio's own API, as a person does in its UI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from backend.demo.annotator import annotate, correct
from backend.label_studio import LabelStudioClient, PushedPrediction, ServedTask
from converters.label_studio.read import annotation_to_shapes
from converters.label_studio.write import regions_to_result
from domain.annotation import Annotation, Region
from domain.geometry import LabelMap, Polygon
from domain.labels import LabelConfig


class Person:
    """Somebody who knows the truth and draws it with an unsteady hand.

    ``truth`` is task id -> (height, width) uint8.
    """

    def __init__(
        self,
        client: LabelStudioClient,
        project_id: int,
        config: LabelConfig,
        truth: Mapping[int, LabelMap],
        seed: int,
    ) -> None:
        self._client = client
        self._project_id = project_id
        self._config = config
        self._truth = truth
        self._seed = seed

    def label(self, task_ids: list[int]) -> Iterator[int]:
        """Draws given tasks from nothing; yields each task's id once it is submitted."""
        for task_id in task_ids:
            truth = self._truth[task_id]
            self._submit(task_id, annotate(truth, self._rng(task_id)), None)
            yield task_id

    def work_the_queue(self, n_tasks: int) -> Iterator[ServedTask]:
        """Takes what Label Studio serves next and corrects it; yields each task once submitted."""
        for _ in range(n_tasks):
            served = self._client.next_task(self._project_id)
            if served is None:
                return
            task_id = served.task.id
            prediction = served.predictions[0] if served.predictions else None
            regions = self._regions(prediction) if prediction else None
            corrected = correct(regions, self._truth[task_id], self._rng(task_id))
            self._submit(task_id, corrected, prediction)
            yield served

    def _rng(self, task_id: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, task_id])

    def _regions(self, prediction: PushedPrediction) -> tuple[Region, ...]:
        shapes, _ = annotation_to_shapes(
            Annotation(id=0, task_id=prediction.task_id, result=prediction.result),
            self._config,
            self._size_hw(prediction.task_id),
        )
        return tuple(
            Region(id=str(i), class_index=class_index, polygons=(shape,))
            for i, (class_index, shape) in enumerate(shapes)
            if isinstance(shape, Polygon)  # not a sliver that covers no pixel's centre
        )

    def _submit(
        self, task_id: int, regions: tuple[Region, ...], prediction: PushedPrediction | None
    ) -> None:
        self._client.annotate(
            task_id,
            regions_to_result(regions, self._config, self._size_hw(task_id), is_prediction=False),
            parent_prediction=prediction.id if prediction else None,
        )

    def _size_hw(self, task_id: int) -> tuple[int, int]:
        height, width = self._truth[task_id].shape
        return int(height), int(width)

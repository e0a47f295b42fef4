"""The simulated annotator: works through Label Studio's own API, as a person does in its UI."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np

from backend.demo.annotator import correct
from backend.label_studio import LabelStudioClient, ServedTask
from backend.label_studio.views import Tab
from domain.errors import StackError
from domain.geometry import LabelMap
from domain.labels import LabelConfig

_LOOK_EVERY_S = 0.5


def tab_called(client: LabelStudioClient, project_id: int, title: str) -> Tab | None:
    """The project's tab of this title, as it is now."""
    return next((tab for tab in client.list_tabs(project_id) if tab.title == title), None)


class Person:
    """Somebody who knows the truth and draws it with an unsteady hand.

    ``truth`` is task id -> (height, width) uint8; ``title`` stands on the tab that is the person's
    queue.
    """

    def __init__(
        self,
        client: LabelStudioClient,
        project_id: int,
        config: LabelConfig,
        truth: Mapping[int, LabelMap],
        seed: int,
        title: str,
    ) -> None:
        self._client = client
        self._title = title
        self._project_id = project_id
        self._config = config
        self._truth = truth
        self._seed = seed

    def work_the_queue(self, n_tasks: int, timeout_s: float = 120.0) -> Iterator[ServedTask]:
        """Labels what the person's tab serves next, from its prediction where there is one.

        Yields each task once it is submitted.

        Args:
            n_tasks: How many.
            timeout_s: Seconds to wait for an empty queue to be filled again.

        Raises:
            StackError: The queue stayed empty.
        """
        for _ in range(n_tasks):
            served = self._next(timeout_s)
            task_id = served.task.id
            prediction = served.predictions[0] if served.predictions else None
            pushed = prediction.result if prediction else None
            truth, rng = self._truth[task_id], self._rng(task_id)
            submitted, seconds = correct(pushed, truth, self._config, rng)
            self._client.annotate(
                task_id,
                submitted,
                lead_time=seconds,
                parent_prediction=prediction.id if prediction else None,
            )
            yield served

    def _next(self, timeout_s: float) -> ServedTask:
        deadline = time.monotonic() + timeout_s
        while True:
            # Read anew each time: what is filled in meanwhile counts, as after a reload.
            tab = tab_called(self._client, self._project_id, self._title)
            served = None if tab is None else self._client.next_in_tab(self._project_id, tab)
            if served is not None:
                return served
            if time.monotonic() > deadline:
                raise StackError(
                    f"Nothing came into the tab {self._title!r} for {timeout_s:.0f} s.",
                    remedy="`nnloop status` says what the queues wait for.",
                )
            time.sleep(_LOOK_EVERY_S)

    def _rng(self, task_id: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, task_id])

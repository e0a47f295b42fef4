"""People label in Label Studio; what would have told nnloop of it is shuffled, doubled and lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from backend.credentials import service_credentials
from backend.label_studio import LabelStudioClient
from backend.settings import Settings
from domain.errors import NnloopError
from tests.integration.loop.discs import scene

LOST = 0.2
"""Of what happened, nnloop is never told."""

LABELLED = 16
"""Of the tasks no more are annotated at any time: the others are predicted."""

LANES = 4
"""So many hints come at once."""

PAUSE_S = 0.4
"""Between two actions of a person."""


class Crowd:
    """Acts at random, in a thread of its own; ``events`` are hints of what was done.

    Args:
        client: Of Label Studio itself.
        project_id: A connected project.
        task_ids: Its tasks.
        seed: Of what is done.
    """

    def __init__(
        self, client: LabelStudioClient, project_id: int, task_ids: Sequence[int], seed: int
    ) -> None:
        self._client, self._project_id = client, project_id
        self._rng = random.Random(seed)
        self._tasks = dict.fromkeys(task_ids, None)
        self._annotations: dict[int, int | None] = dict.fromkeys(task_ids)
        self._n_images = len(task_ids)
        self.events: list[tuple[str, list[int]]] = []
        self.n_actions = self.n_reused = self.n_untold = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="people")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the action at hand."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_S):
            try:
                action, task_ids = self._act()
            except NnloopError:
                continue  # Label Studio is away; what it did all the same is the truth
            self.n_actions += 1
            if self._rng.random() < LOST:
                self.n_untold += 1
            else:
                self.events.append((action, task_ids))

    def _act(self) -> tuple[str, list[int]]:
        kind = self._rng.random()
        if kind < 0.04:
            return self._replace_newest()
        task_id = self._rng.choice(list(self._annotations))
        annotation = self._annotations[task_id]
        result = scene(self._rng.randrange(10_000)).result
        if annotation is None and len([a for a in self._annotations.values() if a]) < LABELLED:
            self._annotations[task_id] = self._client.annotate(task_id, result)
            return "ANNOTATION_CREATED", [task_id]
        if annotation is not None and kind < 0.3:
            self._client.delete_annotation(annotation)
            self._annotations[task_id] = None
            return "ANNOTATIONS_DELETED", []
        if annotation is not None:
            self._client.update_annotation(annotation, result)
            return "ANNOTATION_UPDATED", [task_id]
        return "TASKS_CREATED", [task_id]

    def _replace_newest(self) -> tuple[str, list[int]]:
        """Deletes the newest task and makes a new one, which gets its id."""
        task_id = max(self._annotations)
        self._client.delete_task(task_id)
        self._annotations.pop(task_id)
        self._n_images += 1
        image = (f"scene-{self._n_images}.png", scene(self._n_images).png)
        (made,) = self._client.import_images(self._project_id, [image])
        self._annotations[made] = None
        self.n_reused += made == task_id
        return "TASKS_CREATED", [made]


class Post:
    """Brings hints to the web service, in any order, each more than once."""

    def __init__(self, settings: Settings, crowd: Crowd, project_id: int, seed: int) -> None:
        self._crowd, self._project_id = crowd, project_id
        self._rng = random.Random(seed)
        self._client = httpx.Client(
            base_url=settings.service_url,
            auth=service_credentials(settings),
            timeout=5.0,
            trust_env=False,
        )
        self.n_sent = self.n_refused = 0
        self._given = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name="post") for _ in range(LANES)]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def send_all(self, n: int) -> None:
        """Goes on until so many were sent."""
        with ThreadPoolExecutor(LANES) as pool:
            list(pool.map(lambda _: self.send(), range(max(0, n - self.n_sent))))

    def send(self) -> None:
        """Sends one hint: now and then the newest, else any of what happened."""
        events = self._crowd.events
        with self._lock:
            if not events:
                return
            if self._given < len(events) and self._rng.random() < 0.3:
                action, task_ids = events[self._given]
                self._given += 1
            else:
                action, task_ids = self._rng.choice(events)
            self.n_sent += 1
        body = {
            "action": action,
            "project": {"id": self._project_id},
            "task": {"id": task_ids[0]} if task_ids else None,
        }
        try:
            answer = self._client.post("/webhook", json={k: v for k, v in body.items() if v})
            is_refused = answer.status_code != httpx.codes.OK
        except httpx.HTTPError:
            is_refused = True
        with self._lock:
            self.n_refused += is_refused

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self.send()

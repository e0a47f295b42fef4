"""Images of tasks, read in threads; a job that ends leaves the slow ones running.

A prediction worker must not wait for a server that drips. So every image is read in a thread of
its own, whichever comes first is predicted first, and the next job takes up what has come by then.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy.typing as npt

from backend.log_lines import carried
from backend.store.models import TaskRow

AHEAD = 6
"""Images read at once, or read and not taken by the networks yet."""

SLOW_S = 2.0
"""An image that takes longer no longer counts as one of those."""

MOST_SLOW = 16
"""Slow images at once; each ends by the deadline of an image."""

KEPT_S = 120.0
"""Nobody has asked for an image for so long: its task was labelled meanwhile, say."""

Image = npt.NDArray[Any]
Read = Callable[[], Image]


@dataclass(slots=True)
class _Load:
    future: Future[Image]
    content: str = ""
    started: float = field(default_factory=time.monotonic)
    wanted_at: float = field(default_factory=time.monotonic)


class ImageLoads:
    """The images that this process is reading, by any key. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads: dict[Hashable, _Load] = {}

    def start(self, key: Hashable, read: Read) -> Future[Image]:
        """Reads an image, unless that is under way or done already."""
        with self._lock:
            now = time.monotonic()
            for old in [k for k, load in self._loads.items() if now - load.wanted_at > KEPT_S]:
                if self._loads[old].future.done():
                    del self._loads[old]
            load = self._loads.get(key)
            if load is not None:
                load.wanted_at = now
                return load.future
            load = self._loads[key] = _Load(Future())
        # Daemons: a worker that is asked to end does not wait for them.
        threading.Thread(
            target=carried(_read), args=(load.future, read), name="load an image", daemon=True
        ).start()
        return load.future

    def is_slow(self, key: Hashable) -> bool:
        """Whether an image is still being read, and has been for long."""
        with self._lock:
            load = self._loads.get(key)
            return (
                load is not None
                and not load.future.done()
                and time.monotonic() - load.started > SLOW_S
            )

    def note_content(self, key: Hashable, image_hash: str) -> None:
        """Keeps which bytes an image that is being read was made of."""
        with self._lock:
            if (load := self._loads.get(key)) is not None:
                load.content = image_hash

    def content_of(self, key: Hashable) -> str:
        """What was noted of an image; "" of one that is not here."""
        with self._lock:
            load = self._loads.get(key)
            return load.content if load is not None else ""

    def forget(self, key: Hashable) -> None:
        """Drops an image that was used."""
        with self._lock:
            self._loads.pop(key, None)


class Arrivals(Iterator[TaskRow]):
    """Tasks in the order in which their images come.

    The iterator gives those whose images are there by now and waits for none: it may end, and give
    more later.

    Attributes:
        until: ``time.monotonic()`` at which ``wait`` ends.
    """

    def __init__(
        self,
        loads: ImageLoads,
        more: Callable[[], Sequence[TaskRow]],
        key: Callable[[TaskRow], Hashable],
        read: Callable[[TaskRow], Image],
        on_start: Callable[[list[TaskRow]], None],
        until: float,
    ) -> None:
        """Starts nothing yet.

        Args:
            loads: The process's.
            more: The next tasks; asked again when they are used up, until it gives none.
            key: Of a task's image in ``loads``.
            read: Reads it; called in another thread.
            on_start: Told the tasks whose images are about to be read.
            until: See above.
        """
        self._loads, self._more, self._key, self._read = loads, more, key, read
        self._on_start, self.until = on_start, until
        self._waiting: deque[TaskRow] = deque()
        self._is_drained = False
        self._coming: dict[int, tuple[TaskRow, Future[Image]]] = {}
        self._ready: dict[int, tuple[TaskRow, Future[Image]]] = {}

    def wait(self) -> bool:
        """Waits for the next image; False when the time is over or no task is left."""
        while True:
            self._fill()
            if not self._coming or time.monotonic() >= self.until:
                return False
            futures = [future for _, future in self._coming.values()]
            # Not longer: one that becomes slow makes room for another.
            left = min(SLOW_S / 4, self.until - time.monotonic())
            if wait(futures, max(0.0, left), FIRST_COMPLETED).done:
                return True

    @property
    def is_over(self) -> bool:
        """Whether no task is left whose image has not come."""
        return self._is_drained and not self._waiting and not self._coming

    def __next__(self) -> TaskRow:
        self._fill()
        arrived = next((t for t, future in self._coming.values() if future.done()), None)
        if arrived is None:
            raise StopIteration
        self._ready[arrived.id] = self._coming.pop(arrived.id)
        return arrived

    def image(self, task: TaskRow) -> Image:
        """The image of a task that came; raises what reading it raised."""
        return self._ready[task.id][1].result()

    def done(self, task: TaskRow) -> None:
        """Drops the image of a task."""
        self._ready.pop(task.id, None)
        self._loads.forget(self._key(task))

    def under_way(self) -> list[tuple[TaskRow, Future[Image]]]:
        """Tasks whose images are still being read."""
        return [(t, future) for t, future in self._coming.values() if not future.done()]

    def left_over(self) -> list[int]:
        """Ids of tasks whose images are there but that are not ``done``."""
        arrived = [t.id for t, future in self._coming.values() if future.done()]
        return [*arrived, *self._ready]

    def close(self) -> None:
        """Drops images that could not be read and nobody has looked at: they are read anew."""
        for task, future in [*self._coming.values(), *self._ready.values()]:
            if future.done() and future.exception() is not None:
                self._loads.forget(self._key(task))

    def _fill(self) -> None:
        started: list[TaskRow] = []
        n_slow = sum(self._loads.is_slow(self._key(t)) for t, _ in self._coming.values())
        room = AHEAD + min(n_slow, MOST_SLOW) - len(self._coming)
        while len(started) < room and self._has_waiting():
            started.append(self._waiting.popleft())
        if not started:
            return
        self._on_start(started)
        for task in started:
            future = self._loads.start(self._key(task), partial(self._read, task))
            self._coming[task.id] = (task, future)

    def _has_waiting(self) -> bool:
        if not self._waiting and not self._is_drained:
            self._waiting.extend(self._more())
            self._is_drained = not self._waiting
        return bool(self._waiting)


def _read(future: Future[Image], read: Read) -> None:
    try:
        future.set_result(read())
    except Exception as error:  # noqa: BLE001 - raised where it is waited for
        future.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - as a panic in a library's Rust
        future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

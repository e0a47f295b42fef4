"""CasePool: the same work on many cases, in this process or in several when that pays."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from types import TracebackType
from typing import TypeVar

import psutil
import torch

from training.devices import usable_cores

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

START_S = 6.0
"""Seconds until the processes of a pool work: each loads torch and nnU-Net, 3 s of a core alone,
5 to 6 s beside others."""

MAX_WORKERS = 8
"""More compete for the disk and the memory bus on arrays of this size."""

WORKER_BYTES = 650 * 2**20
"""Memory of a worker before its first case: torch, nnU-Net and scikit-image."""

_MEMORY_SHARE = 0.5
"""Of the free memory a pool may take: networks of other processes need theirs."""

_POLL_S = 0.5


class CasePool:
    """Maps a function over cases. A context manager; its processes end with it.

    The first cases are done in this process and timed. When the rest would take so long that other
    processes earn back twice their start (``START_S``), and the free memory holds at least two,
    those take over. They are spawned, not forked (a forked child would inherit the worker's locks
    and its handler of SIGTERM), and die with this process. Should one be killed, what is left is
    done here.

    Args:
        beat: Called between cases, and twice a second while processes work; what it raises ends
            the work.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self._executor: ProcessPoolExecutor | None = None
        self._n_workers = self._n_affordable = 0
        self._is_usable = True

    def __enter__(self) -> CasePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def n_workers(self) -> int:
        """Processes started; 0 while all is done in this one."""
        return self._n_workers

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], item_bytes: int
    ) -> Iterator[tuple[int, Result]]:
        """Yields (position in ``items``, result) as they are done, in any order.

        Args:
            work: Can be pickled. Running it twice on an item must do no harm.
            items: The cases.
            item_bytes: Memory the work on the largest item takes.
        """
        left = list(range(len(items)))
        timed, spent = 0, 0.0
        while left:
            self._beat()
            if self._pays(len(left), spent / timed if timed else 0.0, item_bytes):
                for position, result in self._map_in_pool(work, items, left):
                    left.remove(position)
                    yield position, result
                continue
            started = time.monotonic()
            position = left[0]
            result = work(items[position])
            # The very first case loads code as well and says little about the others.
            if position:
                timed, spent = timed + 1, spent + time.monotonic() - started
            del left[0]
            yield position, result

    def _pays(self, n_left: int, seconds_each: float, item_bytes: int) -> bool:
        if not self._is_usable or n_left < 2:
            return False
        if self._executor is None:
            # Kept: the memory that is free is another at the next look.
            self._n_affordable = _affordable_workers(item_bytes)
        n_workers = self._n_workers or self._n_affordable
        saved_s = n_left * seconds_each * (1 - 1 / max(n_workers, 1))
        start_s = 0.0 if self._executor else 2 * START_S
        return n_workers > 1 and saved_s > start_s

    def _map_in_pool(
        self,
        work: Callable[[Item], Result],
        items: Sequence[Item],
        positions: Sequence[int],
    ) -> Iterator[tuple[int, Result]]:
        """Ends early, with a warning, when a process of the pool was killed."""
        executor = self._started()
        waiting = iter(tuple(positions))
        running: dict[Future[Result], int] = {}
        try:
            while True:
                # Few are handed over ahead, so that stopping does not wait for many.
                while len(running) < 2 * self._n_workers:
                    position = next(waiting, None)
                    if position is None:
                        break
                    running[executor.submit(work, items[position])] = position
                if not running:
                    return
                done, _ = wait(running, _POLL_S, FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
                self._beat()
        except BrokenProcessPool:
            logger.warning(
                "A process that prepared cases was killed, perhaps for memory; going on with one."
            )
            self._is_usable = False
            self._stop()

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._n_workers = self._n_affordable
            self._executor = ProcessPoolExecutor(
                self._n_workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
            )
        return self._executor

    def _stop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


def _affordable_workers(item_bytes: int) -> int:
    free = psutil.virtual_memory().available * _MEMORY_SHARE
    return min(usable_cores(), MAX_WORKERS, int(free // (WORKER_BYTES + item_bytes)))


def _start_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches the whole process group: the parent is the one that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    # No guard: the pool starts its processes itself, each with a pipe that ends with the parent.
    if (parent := multiprocessing.parent_process()) is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)

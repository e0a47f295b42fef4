"""Supervisor: starts processes in order, brings crashed ones back, stops all in reverse."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import psutil

from backend.stack.process import STACK_VARIABLE, ManagedProcess, ProcessSpec
from domain.errors import StackError

WATCH_S = 0.5
"""Seconds between two looks at the processes."""

FIRST_BACKOFF_S = 1.0
"""Seconds before the first restart of a crashed process; doubles with every further crash."""

LONGEST_BACKOFF_S = 60.0
"""Most seconds between two restarts. It never gives up: jobs must not stop silently."""

STEADY_S = 60.0
"""A process that ran this long starts again at the first backoff."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """How one process stands."""

    name: str
    pid: int | None
    is_running: bool
    restarts: int
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class StackEvent:
    """Something a person may want to know: ``kind`` is starting, ready, crashed or stopping."""

    kind: str
    name: str
    message: str


@dataclass(slots=True)
class _Watched:
    process: ManagedProcess
    restarts: int = 0
    backoff_s: float = FIRST_BACKOFF_S
    started_at: float = 0.0
    restart_at: float | None = None


class Supervisor:
    """Keeps a list of processes running.

    As a context manager it starts them, and stops them however the block is left; inside the
    block SIGTERM raises KeyboardInterrupt, as Ctrl-C does, except while ``wait`` waits for both.

    Attributes:
        stack_id: Marks its processes, see ``leftover_processes``.
        stop_signal: Name of the first signal that asked ``wait`` to end; "" for none.

    Args:
        specs: What to run, in the order of starting.
        on_event: Told what happens; called from the starting and the watching thread.
        first_backoff_s: Seconds before a crashed process starts again for the first time.

    Example:
        >>> with Supervisor([redis.spec(), web]) as stack:  # doctest: +SKIP
        ...     stack.wait()
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec] = (),
        *,
        on_event: Callable[[StackEvent], None] = lambda event: None,
        first_backoff_s: float = FIRST_BACKOFF_S,
    ) -> None:
        self.stack_id = uuid.uuid4().hex
        self._specs = list(specs)
        self._on_event = on_event
        self._first_backoff_s = first_backoff_s
        self._watched: list[_Watched] = []
        self._starting: ManagedProcess | None = None
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._asked_to_stop = threading.Event()
        self.stop_signal = ""
        self._watcher: threading.Thread | None = None
        self._old_sigterm: Any = None

    def __enter__(self) -> Supervisor:
        if threading.current_thread() is threading.main_thread():
            # SIGTERM then unwinds the block like Ctrl-C, and so stops everything on the way out.
            self._old_sigterm = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self.start()
        except BaseException:
            self._restore_sigterm()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._restore_sigterm()

    def start(self) -> None:
        """Starts everything in order, each once the one before is ready, then watches.

        Raises:
            StackError: One did not start; those before it are stopped again.
        """
        try:
            for spec in self._specs:
                self.add(spec)
        except BaseException:
            self.stop()
            raise

    def add(self, spec: ProcessSpec) -> ManagedProcess:
        """Starts one more process, waits until it is ready, and watches it from then on.

        Raises:
            StackError: It did not start, or the name is taken.
        """
        if any(w.process.spec.name == spec.name for w in self._watched):
            raise StackError(f"There is a process {spec.name!r} already.", remedy="Rename one.")
        self._tell("starting", spec.name, "starting")
        watched = _Watched(ManagedProcess(spec, stack_id=self.stack_id))
        watched.backoff_s = self._first_backoff_s
        self._starting = watched.process
        watched.process.start()
        watched.started_at = time.monotonic()
        with self._lock:
            self._watched.append(watched)
            self._starting = None
        self._tell("ready", spec.name, "ready")
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._watcher.start()
        return watched.process

    def process(self, name: str) -> ManagedProcess:
        """The process with this name; KeyError if there is none."""
        for watched in self._watched:
            if watched.process.spec.name == name:
                return watched.process
        raise KeyError(name)

    def states(self) -> list[ProcessState]:
        """How every process stands, in the order of starting."""
        with self._lock:
            return [
                ProcessState(
                    name=w.process.spec.name,
                    pid=w.process.pid,
                    is_running=w.process.is_running,
                    restarts=w.restarts,
                    exit_code=w.process.exit_code,
                )
                for w in self._watched
            ]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits for SIGINT, SIGTERM or ``ask_to_stop``; call it from the main thread.

        Returns:
            Whether one of them came before the time was over.
        """
        with self._signals():
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            while not self._asked_to_stop.wait(0.2):
                if deadline is not None and time.monotonic() > deadline:
                    return False
            return True

    def ask_to_stop(self) -> None:
        """Makes ``wait`` return; safe from signal handlers and other threads."""
        self._asked_to_stop.set()

    def stop(self) -> None:
        """Stops everything, last started first. Safe to repeat."""
        with self._signals():  # a second Ctrl-C must not cut the clean-up short
            self._stopping.set()
            if self._watcher is not None and self._watcher is not threading.current_thread():
                self._watcher.join()
            if self._starting is not None:  # a second Ctrl-C may have cut its own clean-up short
                self._starting.stop()
            for watched in reversed(self._watched):
                if watched.process.is_running:
                    self._tell("stopping", watched.process.spec.name, "stopping")
                watched.process.stop()

    def leftover_processes(self) -> list[str]:
        """Processes of this stack that still run, as ``pid name``; empty after a clean stop."""
        return leftover_processes(self.stack_id)

    def _restore_sigterm(self) -> None:
        if self._old_sigterm is not None:
            signal.signal(signal.SIGTERM, self._old_sigterm)
            self._old_sigterm = None

    def _watch(self) -> None:
        while not self._stopping.wait(min(WATCH_S, self._first_backoff_s)):
            with self._lock:
                for watched in self._watched:
                    self._look_at(watched)

    def _look_at(self, watched: _Watched) -> None:
        process, now = watched.process, time.monotonic()
        if process.is_running:
            return
        if watched.restart_at is None:
            if now - watched.started_at > STEADY_S:
                watched.backoff_s = self._first_backoff_s
            watched.restart_at = now + watched.backoff_s
            self._tell(
                "crashed",
                process.spec.name,
                f"ended with status {process.exit_code}; starts again in {watched.backoff_s:g} s",
            )
            watched.backoff_s = min(2 * watched.backoff_s, LONGEST_BACKOFF_S)
        if now >= watched.restart_at and not self._stopping.is_set():
            watched.restart_at = None
            watched.restarts += 1
            watched.started_at = now
            process.stop()  # closes what the ended one left open
            try:
                process.launch()
            except StackError as error:
                watched.restart_at = now + watched.backoff_s
                self._tell("crashed", process.spec.name, str(error))

    def _tell(self, kind: str, name: str, message: str) -> None:
        self._on_event(StackEvent(kind, name, message))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """While inside, SIGINT and SIGTERM only ask to stop (in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            self.stop_signal = self.stop_signal or signal.Signals(number).name
            self.ask_to_stop()

        old = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def leftover_processes(stack_id: str) -> list[str]:
    """Processes marked with a supervisor's id that still run, as ``pid name``.

    Reads the environment each process was started with, so that it also finds those that left
    their group, session and parent. Other users' processes can't be read and are passed over.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(STACK_VARIABLE) == stack_id:
                found.append(f"{process.pid} {process.name()}")
    return found

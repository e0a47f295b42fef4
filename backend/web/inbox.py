"""Where webhooks are kept: one thread writes them, so that a busy store never delays an answer.

What came while it wrote is written together, in one transaction: a transaction costs the same for
one hint and for a hundred.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.exc import InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from backend.store import Store, hints, projects
from backend.store.models import ProjectRow
from backend.web.errors import sentence
from backend.web.recurring_log import RecurringLog

logger = logging.getLogger(__name__)

# Label Studio gives a webhook 1 s and never repeats it. A hint not written by then is acknowledged
# all the same, and written when the store is free.
PATIENCE_S = 0.5
# Hints of one transaction: at most some tenths of a second, in which others wait for the store.
MOST_AT_ONCE = 500
# What a store that is away did not take is tried again so often, and for so long: one of them may
# be somebody's wish for a training, which no reading finds.
AGAIN_S = 5.0
GIVE_UP_S = 24 * 3600.0
MOST_HELD = 1_000


@dataclass(frozen=True, slots=True)
class Hint:
    """What is kept of a webhook. ``project_id`` is None when it was sent without its payload.

    ``project_created``: when the project was made, in whole seconds since the epoch, if it is said.
    """

    project_id: int | None
    action: str
    task_ids: tuple[int, ...] = ()
    project_created: int | None = None


class Inbox:
    """Writes hints into the store, in the order they came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inbox")
        self._waiting: deque[tuple[Hint, Future[None]]] = deque()
        self._lock = threading.Lock()
        self._is_writing = False
        # Of the writing thread alone:
        self._held: list[Hint] = []
        self._away_since: float | None = None
        self._is_due = False
        self._log = RecurringLog()

    async def put(self, hint: Hint) -> None:
        """Keeps a hint; returns when it is written, and after half a second at the latest.

        A store that refuses it is logged, not raised: the next reading of the project, within
        NNLOOP_SYNC_INTERVAL_S, finds what the hint was about. What comes while the store is away is
        written once it is back.
        """
        written: Future[None] = Future()
        with self._lock:
            self._waiting.append((hint, written))
            if not self._is_writing:
                self._is_writing = True
                self._writer.submit(self._write_waiting)
        await asyncio.wait({asyncio.wrap_future(written)}, timeout=PATIENCE_S)

    def close(self) -> None:
        """Writes what still waits, then ends the thread."""
        with suppress(RuntimeError):  # it is closed already
            self._writer.submit(self._write, ())
        self._writer.shutdown(wait=True)

    def _write_waiting(self) -> None:
        """Writes until nothing waits any more."""
        while True:
            with self._lock:
                n_taken = min(len(self._waiting), MOST_AT_ONCE)
                if not n_taken:
                    self._is_writing = False
                    return
                taken = [self._waiting.popleft() for _ in range(n_taken)]
            self._write([hint for hint, _ in taken])
            for _, written in taken:
                if written.set_running_or_notify_cancel():  # nobody may wait for it any more
                    written.set_result(None)

    def _write(self, came: Sequence[Hint]) -> None:
        came, self._held = [*self._held, *came], []
        if not came:
            return
        try:
            self._add(came)
        except (OperationalError, InternalError) as error:
            # The store is away, full or read-only: it would be for each of them.
            self._warn(f"{_webhooks(len(came))} could not be kept yet. {sentence(error)}")
            self._hold(came)
        except Exception as error:  # nobody waits for this thread's result: the log must have it
            if len(came) > 1:  # one of them may be what the store does not take
                for hint in came:
                    self._write([hint])
            elif isinstance(error, SQLAlchemyError):
                self._warn(f"A webhook could not be kept. {sentence(error)}")
            else:
                logger.exception("A webhook could not be kept.")

    def _hold(self, came: Sequence[Hint]) -> None:
        """Has them written later; called by the writing thread."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        elif now - self._away_since > GIVE_UP_S:
            self._away_since = None
            logger.warning("%s could not be kept for a day.", _webhooks(len(came)))
            return
        self._held = list(came[-MOST_HELD:])
        if not self._is_due:
            self._is_due = True
            timer = threading.Timer(AGAIN_S, self._again)
            timer.daemon = True
            timer.start()

    def _again(self) -> None:
        with suppress(RuntimeError):  # it was closed meanwhile
            self._writer.submit(self._write_again)

    def _write_again(self) -> None:
        self._is_due = False
        self._write(())

    def _add(self, came: Sequence[Hint]) -> None:
        with self._store.begin() as session:
            # A session forgets rows that nobody holds, and would look them up for every hint.
            ids = {hint.project_id for hint in came if hint.project_id is not None}
            held = {project_id: session.get(ProjectRow, project_id) for project_id in ids}
            strangers = {project_id for project_id, row in held.items() if row is None}
            unknown = [hint.project_id for hint in came if not _add_one(session, hint, strangers)]
            hints.forget_unconnected(session, strangers)
            del held
        self._away_since = None
        for project_id in dict.fromkeys(unknown):
            self._warn(
                f"A webhook of project {project_id} came, which is not connected. "
                f"Connect it: nnloop connect {project_id}"
            )

    def _warn(self, message: str) -> None:
        if self._log.is_due(message):
            logger.warning("%s", message)


def _add_one(session: Session, hint: Hint, strangers: Collection[int]) -> bool:
    """Adds a hint; whether its project is connected, and no other one of the same id."""
    if hint.project_id is None:
        for project_id in projects.all_ids(session):
            projects.add_hint(session, project_id, hint.action, hint.task_ids)
        return True
    if hint.project_id in strangers:
        # Connecting it reads all of it: what it hinted at before needs nobody.
        said = f"project {hint.project_id} is not connected"
        projects.add_hint(session, hint.project_id, hint.action, hint.task_ids, decision=said)
        return False
    is_it = projects.find_same(session, hint.project_id, hint.project_created) is not None
    # A project that took the id of another starts no training; the next reading names it.
    action = hint.action if is_it else projects.OTHER_PROJECT
    projects.add_hint(session, hint.project_id, action, hint.task_ids)
    return is_it


def _webhooks(n: int) -> str:
    return "A webhook" if n == 1 else f"{n} webhooks"

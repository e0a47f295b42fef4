"""Where webhooks are kept: one thread writes them, so that a busy store never delays an answer."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from backend.store import Store, projects
from backend.store.models import ProjectRow
from backend.web.errors import sentence
from backend.web.recurring_log import RecurringLog

logger = logging.getLogger(__name__)

# Label Studio gives a webhook 1 s and never repeats it. A hint not written by then is acknowledged
# all the same, and written when the store is free.
PATIENCE_S = 0.5

OTHER_PROJECT = "OTHER_PROJECT"
"""Kept instead of the action of a webhook of a project that took the id of a connected one."""


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
        self._log = RecurringLog()

    async def put(self, hint: Hint) -> None:
        """Keeps a hint; returns when it is written, and after half a second at the latest.

        A store that refuses it is logged, not raised: the next reading of the project, within
        NNLOOP_SYNC_INTERVAL_S, finds what the hint was about.
        """
        written = self._writer.submit(self._write, hint)
        await asyncio.wait({asyncio.wrap_future(written)}, timeout=PATIENCE_S)

    def close(self) -> None:
        """Writes what still waits, then ends the thread."""
        self._writer.shutdown(wait=True)

    def _write(self, hint: Hint) -> None:
        try:
            self._add(hint)
        except SQLAlchemyError as error:
            self._warn(f"A webhook could not be kept. {sentence(error)}")
        except Exception:  # nobody waits for this thread's result, so the log must have it
            logger.exception("A webhook could not be kept.")

    def _add(self, hint: Hint) -> None:
        with self._store.begin() as session:
            if hint.project_id is None:
                for project_id in projects.all_ids(session):
                    projects.add_hint(session, project_id, hint.action, hint.task_ids)
                return
            row = projects.find_same(session, hint.project_id, hint.project_created)
            is_connected = row is not None
            # A project that took the id of another starts no training; the next reading names it.
            is_other = not is_connected and session.get(ProjectRow, hint.project_id) is not None
            action = OTHER_PROJECT if is_other else hint.action
            projects.add_hint(session, hint.project_id, action, hint.task_ids)
        if not is_connected:
            self._warn(
                f"A webhook of project {hint.project_id} came, which is not connected. "
                f"Connect it: nnloop connect {hint.project_id}"
            )

    def _warn(self, message: str) -> None:
        if self._log.is_due(message):
            logger.warning("%s", message)

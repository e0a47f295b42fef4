"""The job that moves a run on."""

from __future__ import annotations

import threading

from backend.jobs.process import context
from backend.pipeline import runs
from backend.store.models import RunRow
from domain.status import RunStatus

# Runs whose cases are prepared at once, of different projects; each waits for images mostly.
MOST_AT_ONCE = 4

_at_work: dict[int, threading.Thread] = {}


def advance(run_id: int) -> None:
    """Takes the next step of a run.

    Cases are prepared in a thread, while this worker goes on with what annotators wait for: their
    images may take a minute each. Nothing else but that lasts long and needs no network. The run's
    lease says that someone is at work on it.
    """
    with context().store.begin() as session:
        run = session.get(RunRow, run_id)
    if run is None or run.status not in (RunStatus.QUEUED, RunStatus.PREPARING):
        runs.advance(context(), run_id)
        return
    for known in [known for known, thread in _at_work.items() if not thread.is_alive()]:
        del _at_work[known]
    if run_id in _at_work or len(_at_work) >= MOST_AT_ONCE:
        return  # it is asked for again until it is done
    # No daemon: a worker that is told to end waits until the step has noticed.
    thread = _at_work[run_id] = threading.Thread(
        target=runs.advance, args=(context(), run_id), name=f"prepare run {run_id}"
    )
    thread.start()


def wait_for_threads() -> None:
    """Waits until no step is at work in a thread."""
    for thread in list(_at_work.values()):
        thread.join()

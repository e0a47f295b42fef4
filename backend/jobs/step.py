"""The job that moves a run on."""

from __future__ import annotations

import threading
from contextlib import suppress

from backend.jobs.process import context
from backend.jobs.turns import Turns
from backend.log_lines import carried
from backend.pipeline.runs import stages
from backend.queue import JobName, stop_requested
from backend.store.models import RunRow
from domain.errors import StackError
from domain.states import RunStatus

# Runs whose cases are prepared at once, of different projects; each waits for images mostly.
MOST_AT_ONCE = 4

# Others wait no longer than this behind a gate, and one case more.
TURN_S = 3.0

_at_work: dict[int, threading.Thread] = {}
_in_turns: dict[int, Turns] = {}


def advance(run_id: int) -> None:
    """Takes the next step of a run.

    Cases are prepared in a thread, while this worker goes on with what annotators wait for: their
    images may take a minute each. The gate predicts with the networks that annotators wait for too:
    it works a few seconds at a time, and they go first in between. The run's lease says that
    someone is at work on it.
    """
    if run_id in _in_turns:
        _take_turn(run_id)
        return
    with context().store.begin() as session:
        run = session.get(RunRow, run_id)
    if run is None:
        return  # forgotten with its project since it was given, or by an older store
    if not RunStatus(run.status).is_before_training:
        _in_turns[run_id] = Turns(
            lambda pause: stages.advance(context(), run_id, pause),
            while_waiting=lambda: _ask_again(run_id),
            must_go_on=stop_requested,
        )
        _take_turn(run_id)
        return
    for known in [known for known, thread in _at_work.items() if not thread.is_alive()]:
        del _at_work[known]
    if run_id in _at_work or len(_at_work) >= MOST_AT_ONCE:
        return  # it is asked for again until it is done
    # No daemon: a worker that is told to end waits until the step has noticed.
    thread = _at_work[run_id] = threading.Thread(
        target=carried(stages.advance), args=(context(), run_id), name=f"prepare run {run_id}"
    )
    thread.start()


def _take_turn(run_id: int) -> None:
    turns = _in_turns[run_id]
    try:
        turns.take(TURN_S)
    finally:
        if turns.is_over:
            del _in_turns[run_id]


def _ask_again(run_id: int) -> None:
    # The clock does not: the run's lease holds.
    with suppress(StackError):  # Redis is away; it is asked for again
        context().queue.ensure(JobName.ADVANCE, run_id)


def wait_for_threads() -> None:
    """Waits until no step is at work in a thread."""
    for thread in list(_at_work.values()):
        thread.join()

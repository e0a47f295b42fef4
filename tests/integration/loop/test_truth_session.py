"""What people see and what nnloop would train on, after a random session of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.truth.check import Checker, advance
from benchmarks.truth.nnloop_view import NnloopView
from benchmarks.truth.session import Session
from benchmarks.truth.state import KINDS, State
from tests.integration.loop.stack import Loop

SEED = 8
ACTIONS = 20


@pytest.mark.slow
def test_a_short_session_leaves_no_difference(loop: Loop, tmp_path: Path) -> None:
    """Without a version: what is offered is checked by ``python -m benchmarks.truth``."""
    state = State(SEED)
    view = NnloopView(loop.context)
    token = loop.label_studio.credentials.token
    session = Session(loop.label_studio.url, token, state, view, tmp_path / "imports")
    session.begin()
    view.connect(state.project_id, 1_000_000)
    try:
        advance(session, Checker(state, session.reader, view), ACTIONS, 20, tmp_path / "state.json")
    finally:
        session.admin.call("DELETE", f"/api/projects/{state.project_id}/")
        session.close()
    assert (state.done, state.checks) == (ACTIONS, 1)
    assert sum(state.counts.values()) == ACTIONS
    assert state.totals == dict.fromkeys(KINDS, 0)

"""A random session on a real Label Studio, read twice: ``python -m benchmarks.truth``.

300 seeded actions of two people and of files (label, correct, delete, import under the same ids,
put another image into a task, rename, add and remove classes, skip, save drafts, ...). After each
20 of them nnloop's view is compared with a reader of its own: the label maps it would train on with
drawings of Label Studio's JSON, and what it offers with the images the tasks show now. All three
sums are to be 0; each difference is printed with seed, action and task.

The session needs a version to offer predictions: it is trained at the start, in about half a
minute. ``--work DIR`` keeps everything in a folder: ``--stop-at N`` stops after N actions, and the
same command without it, or with a later N, goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.truth.check import Checker, advance
from benchmarks.truth.nnloop_view import NnloopView
from benchmarks.truth.servers import running
from benchmarks.truth.session import FIRST_LABELS, Session
from benchmarks.truth.state import State

ACTIONS = 300
EVERY = 20
SEED = 8

_TRAINING_S = 300.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the session, or goes on with it; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description="What is seen against what is learned.")
    parser.add_argument("--actions", type=int, default=ACTIONS)
    parser.add_argument("--every", type=int, default=EVERY, help="actions between two checks")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--stop-at", type=int, help="stop after this action; needs --work")
    parser.add_argument("--work", type=Path, help="folder to keep, and to go on from")
    given = parser.parse_args(arguments)
    if given.actions < 1 or given.every < 1:
        parser.error("--actions and --every must be 1 or more")
    if given.stop_at is not None and given.work is None:
        parser.error("--stop-at needs --work, to go on from later")
    last = given.actions if given.stop_at is None else min(given.stop_at, given.actions)
    if given.work is not None:
        given.work.mkdir(parents=True, exist_ok=True)
        figures = run(given.work.resolve(), given.seed, last, given.every)
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = run(Path(folder), given.seed, last, given.every)
    print(json.dumps(figures))


def run(folder: Path, seed: int, last: int, every: int) -> dict[str, Any]:
    """The figures of a session after action ``last``."""
    path = folder / "session.json"
    try:
        state = State.load(path, seed)
    except ValueError as error:
        raise SystemExit(f"{error} Name another --work, or the same --seed.") from error
    load = os.getloadavg()[0]
    started = time.monotonic()
    with running(folder, state.ports, with_trainers=not state.version) as servers:
        view = NnloopView(servers.context, state.project_id)
        credentials = servers.label_studio.credentials
        session = Session(
            servers.label_studio.url, credentials.token, state, view, folder / "imports"
        )
        if state.version:
            session.resume()
        else:
            session.begin()
            view.connect(state.project_id, FIRST_LABELS)
            state.version = view.wait_for_version(_TRAINING_S)
            state.save(path)
            print(f"{state.version} after {time.monotonic() - started:.0f} s", flush=True)
        servers.train_no_more()
        before = state.seconds
        advance(session, Checker(state, session.reader, view), last, every, path)
        state.seconds = before + time.monotonic() - started
        state.save(path)
        session.close()
    return {
        "actions": state.done,
        "checks": state.checks,
        **state.totals,
        "by_kind": state.counts,
        "seconds": round(state.seconds),
        "seed": seed,
        "load": round(load, 2),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores, "
        f"Python {platform.python_version()}",
    }


if __name__ == "__main__":
    main(sys.argv[1:])

"""Kills, floods and misleads nnloop: ``python -m benchmarks.chaos [--seconds N] [--seed N]``.

Five machines (web, loop, predictor, two trainers), each with a folder for scratch, a name and a
clock of its own; one PostgreSQL, one Redis with a password, one data folder; a real Label Studio
behind a proxy that answers half of all imports of predictions with 504 after they were done. People
label at random, and replace tasks by others that get their ids; nnloop is told of it by 10,000
hints, shuffled, doubled, a fifth of all that happened never told. Meanwhile services are killed, a
machine vanishes while it trains, another one stands still for longer than its leases, and clocks
are set back by an hour, or are a day ahead for a while. Afterwards what nnloop holds is compared
with Label Studio, and what a last training was made of with what is labelled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from backend.pipeline.connection.connect import connect
from backend.pipeline.runs.request import request_training
from backend.store.models import FoldRow, RunRow
from backend.store.training.leases import LEASE_S
from benchmarks.chaos.check import check, is_busy
from benchmarks.chaos.machines import Cluster, Machine, running_cluster
from benchmarks.chaos.people import Crowd, Post
from benchmarks.run import UNABLE
from domain.errors import NnloopError
from domain.states import FoldStatus
from tests.integration.loop.discs import LABEL_CONFIG, scene
from tests.servers import NotInstalledError

LONG = True
EVENTS = 10_000
TASKS = 24
SETTLE_S = 180.0
RESTART_S = 2.0
"""A killed service is started again so soon."""

VICTIMS = {
    "web": 4,
    "loop": 4,
    "trainer-1": 3,
    "trainer-2": 3,
    "predictor": 3,
    "redis": 4,
    "label-studio": 2,
}
"""How often each is killed by SIGKILL, beside the machines that vanish."""

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "n_folds": 2,
    "budget_s": None,
    "trainer": "benchmarks.chaos.trainer:QuickTrainer",
    "min_annotations": 8,
    "retrain_after": 12,
    "gate_margin": 1.0,
}


def say(text: str) -> None:
    """Tells how it goes."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Chaos:
    """What is done to the machines.

    Args:
        cluster: What runs.
        seed: Of the order.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._rng = random.Random(seed)
        self.kills: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Does it all, spread over the time."""
        acts: list[tuple[str, Callable[[], None]]] = [
            (f"kill {name}", partial(self._kill, name))
            for name, n in VICTIMS.items()
            for _ in range(n)
        ]
        self._rng.shuffle(acts)
        n_kills = len(acts)
        planned: list[tuple[float, str, Callable[[], None]]] = [
            (0.15, "all clocks an hour back", partial(self.set_clocks, -3600.0)),
            (0.3, "a trainer vanishes", self._vanish),
            (0.45, "a trainer stands still", self._freeze),
            (0.6, "one clock a day ahead", partial(self._set_clock, "trainer-2", 86_400.0)),
            (0.7, "and right again", partial(self._set_clock, "trainer-2", 0.0)),
            (0.8, "the loop's clock two hours back", partial(self._set_clock, "loop", -7200.0)),
        ]
        for place, what, do in planned:
            acts.insert(round(place * n_kills), (what, do))
        step_s = seconds / len(acts)
        for what, do in acts:
            began = time.monotonic()
            say(what)
            do()
            while time.monotonic() - began < step_s:
                self.revive()
                time.sleep(0.5)

    def revive(self, *but: str) -> None:
        """Starts what does not run."""
        for name, machine in self._cluster.machines.items():
            if name not in but and not machine.is_running:
                machine.start()

    def _kill(self, name: str) -> None:
        self._cluster.machines[name].kill()
        self.kills[name] += 1
        time.sleep(RESTART_S)
        self.revive()

    def _set_clock(self, name: str, ahead_s: float) -> None:
        self._cluster.machines[name].set_clock(ahead_s)

    def set_clocks(self, ahead_s: float) -> None:
        """Sets the clocks of all machines of nnloop's."""
        for machine in self._cluster.of_nnloop:
            machine.set_clock(ahead_s)

    def _trainer_at_work(self) -> Machine | None:
        """A machine that has trained an epoch of a fold that it is at."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            self.revive()
            with self._cluster.context.store.begin() as session:
                query = select(FoldRow.worker).where(
                    FoldRow.status == FoldStatus.RUNNING,
                    FoldRow.lease_until != 0.0,
                    FoldRow.epoch > 0,
                )
                worker = session.scalar(query.limit(1)) or ""
            for name in ("trainer-1", "trainer-2"):
                if worker.startswith(f"{name}-"):
                    return self._cluster.machines[name]
            time.sleep(0.25)
        say("  no trainer was at work")
        return None

    def _vanish(self) -> None:
        if (machine := self._trainer_at_work()) is None:
            return
        machine.vanish()
        self.kills["machine"] += 1
        self._wait(2 * LEASE_S, machine.name)

    def _freeze(self) -> None:
        if (machine := self._trainer_at_work()) is None:
            return
        machine.freeze()
        self._wait(2 * LEASE_S, machine.name)
        machine.thaw()

    def _wait(self, seconds: float, *but: str) -> None:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self.revive(*but)
            time.sleep(0.5)


def _settle(cluster: Cluster, chaos: Chaos, seconds: float) -> float:
    """Waits until nothing is left to do, and has been looked at once more since; how long."""
    began, quiet = time.monotonic(), 0.0
    said = ""
    while time.monotonic() - began < seconds:
        chaos.revive()
        busy = is_busy(cluster.context)
        if busy != said:
            said = busy
            say(f"  still to do: {busy or 'nothing'}")
        quiet = 0.0 if busy else quiet + 1.0
        # A reading by the clock, and what follows from it.
        if quiet > 1.5 * cluster.settings.sync_interval_s:
            break
        time.sleep(1.0)
    return time.monotonic() - began


def _play(folder: Path, seconds: float, seed: int) -> dict[str, object]:
    load = os.getloadavg()[0]
    with running_cluster(folder, seed) as cluster:
        client = cluster.context.label_studio
        project = client.create_project("Chaos", LABEL_CONFIG)
        files = [(f"scene-{i}.png", scene(i).png) for i in range(TASKS)]
        task_ids = client.import_images(project.id, files)
        connect(cluster.context, project.id, SETTINGS)
        # What Label Studio would tell is told by the benchmark, as badly as can be.
        api = client._connection
        for hook in api.json("GET", "/api/webhooks/", params={"project": project.id}):
            fields = {"url": hook["url"], "is_active": False}
            api.json("PATCH", f"/api/webhooks/{hook['id']}/", body=fields)
        crowd = Crowd(client, project.id, task_ids, seed)
        post = Post(cluster.settings, crowd, project.id, seed)
        chaos = Chaos(cluster, seed)
        began = time.monotonic()
        crowd.start()
        post.start()
        try:
            chaos.run(seconds)
        finally:
            crowd.stop()
            post.stop()
        say(f"{post.n_sent} hints sent; the rest follows")
        post.send_all(EVENTS)
        chaos.set_clocks(0.0)
        say("settling")
        settled_s = _settle(cluster, chaos, SETTLE_S)
        say("a last training")
        try:
            say(f"  {request_training(cluster.context, project.id)}")
        except NnloopError as error:
            say(f"  {error.in_full}")
        _settle(cluster, chaos, SETTLE_S)
        found = check(cluster.context, project.id)
        for kind in ("lost", "doubled", "stuck", "stale"):
            for line in getattr(found, kind):
                say(f"{kind}: {line}")
        with cluster.context.store.begin() as session:
            statuses = Counter(str(status) for status in session.scalars(select(RunRow.status)))
    return {
        "events": post.n_sent,
        "refused": post.n_refused,
        "actions": crowd.n_actions,
        "untold": crowd.n_untold,
        "reused_ids": crowd.n_reused,
        "given_up_imports": cluster.proxy.n_given_up,
        "kills": sum(chaos.kills.values()),
        "runs": dict(statuses),
        "annotations": found.n_annotations,
        "in_manifest": found.n_entries,
        "predictions": found.n_predictions,
        "epochs_lost": found.epochs_lost,
        "lost": len(found.lost),
        "doubled": len(found.doubled),
        "stuck": len(found.stuck),
        "stale": len(found.stale),
        "settled_s": round(settled_s),
        "seconds": round(time.monotonic() - began),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": round(load, 1),
        "seeds": [seed],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=150.0, help="of chaos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="kept, logs and all; must be empty")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            figures = _play(folder, options.seconds, options.seed)
        except NotInstalledError as error:
            print(error, file=sys.stderr)
            return UNABLE
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What nnloop costs the Label Studio beside it: ``python -m benchmarks.service [--tasks N ...]``.

A real Label Studio on SQLite with made-up projects of N tasks, a fifth of them labelled (three
polygons of 40 points); nnloop's web service is connected. Counted are the seconds that Label
Studio's processes compute, not those that pass: an idle minute, one task that somebody labels, a
push of 1,000 predictions beside a bare import of the same, and a push of one.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from sqlalchemy.orm import Session

from backend.label_studio import LabelStudioClient, PushedPrediction
from backend.pipeline.basis.context import AppContext
from backend.pipeline.connection.connect import connect
from backend.pipeline.doubts.tab import try_check
from backend.pipeline.predictions.publish import try_publish
from backend.pipeline.queues.fill import try_fill
from backend.pipeline.sync import reading
from backend.pipeline.sync.marks import OVERLAP_S
from backend.pipeline.sync.taking import PORTION
from backend.settings import Settings
from backend.stack.ports import free_port
from backend.store import Store
from backend.store.models import PredictionRow, TaskRow, VersionRow
from backend.store.tasks import predictions, readings
from backend.store.training import versions
from backend.web.app import create_app
from benchmarks import service_web
from benchmarks.run import UNABLE
from tests.fakes.queue import FakeQueue
from tests.servers import NotInstalledError, running_label_studio

TASKS = (2_000, 10_000)
PUSHED = 1_000
TIMES = 5
"""Cheap things are done so often, and their mean is taken."""

_IMPORT = 500
_XML = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/><Label value="wall"/></PolygonLabels></View>'
)


def regions(rng: random.Random) -> list[dict[str, Any]]:
    """Three polygons of 40 points, as the editor writes them."""
    return [
        {
            "id": f"r{rng.random()}",
            "from_name": "label",
            "to_name": "image",
            "type": "polygonlabels",
            "original_width": 640,
            "original_height": 480,
            "value": {
                "points": [[rng.random() * 100, rng.random() * 100] for _ in range(40)],
                "closed": True,
                "polygonlabels": [label],
            },
        }
        for label in ("lumen", "wall", "lumen")
    ]


class Bench:
    """One Label Studio, and one nnloop that works in this process.

    Args:
        context: Of the nnloop.
    """

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.client: LabelStudioClient = context.label_studio
        self._rng = random.Random(0)

    def make_project(self, n_tasks: int) -> int:
        """A connected project that was read, long enough ago that nothing of it is read anew."""
        project_id = self.client.create_project(f"{n_tasks} tasks", _XML).id
        for start in range(0, n_tasks, _IMPORT):
            body = [
                {"data": {"image": f"http://127.0.0.1:9/{i}.png"}, **self._label(i)}
                for i in range(start, min(start + _IMPORT, n_tasks))
            ]
            path = f"/api/projects/{project_id}/import"
            self.client._connection.json("POST", path, body=body, timeout_s=600.0)
        connect(self.context, project_id, {"min_annotations": 10 * n_tasks})
        self.sync(project_id)
        for _ in range(2):
            self._pass(project_id)
            self.sync(project_id)
        return project_id

    def _label(self, i: int) -> dict[str, Any]:
        return {"annotations": [{"result": regions(self._rng)}]} if i % 5 == 0 else {}

    def _pass(self, project_id: int) -> None:
        """Lets the time pass after which what was seen is not asked for again."""
        with self.context.store.begin() as session:
            readings.began(session, project_id).seen_at -= OVERLAP_S + 1.0

    def sync(self, project_id: int) -> None:
        """The job of a reading (``backend.jobs.loop.sync``)."""
        reading.sync_project(self.context, project_id)
        try_fill(self.context, project_id)
        try_check(self.context, project_id)

    def idle_minute(self, project_id: int, n_tasks: int) -> dict[str, float]:
        """One reading, and its share of what is done more rarely."""
        idle = cpu_s(lambda: self.sync(project_id), TIMES)
        with self.context.store.begin() as session:
            readings.began(session, project_id).checked_at = 0.0
        with_check = cpu_s(lambda: self.sync(project_id))
        with self.context.store.begin() as session:
            readings.began(session, project_id).turned_at = 0.0
        with_turn = cpu_s(lambda: self.sync(project_id))
        settings = self.context.settings
        turns = n_tasks / PORTION * settings.sync_interval_s / settings.reread_s
        check = max(with_check - idle, 0.0) * settings.sync_interval_s / reading.CHECK_S
        return {
            "idle_minute_cpu_s": idle + check + max(with_turn - idle, 0.0) * turns,
            "reading_cpu_s": idle,
            "check_cpu_s": with_check - idle,
            "portion_cpu_s": with_turn - idle,
        }

    def all_read(self, project_id: int) -> float:
        """A reading of all tasks, as after a start."""
        return cpu_s(lambda: reading.read_project(self.context, project_id))

    def one_change(self, project_id: int) -> dict[str, float]:
        """Somebody labels a task: what that costs by itself, and what nnloop adds in all."""
        self.sync(project_id)
        with self.context.store.read() as session:
            open_ids = [row.id for row in _unlabelled(session, project_id, TIMES)]
        labelling = adding = 0.0
        for task_id in open_ids:
            result = regions(self._rng)
            labelling += cpu_s(partial(self.client.annotate, task_id, result))
            adding += cpu_s(lambda: self.sync(project_id))  # the webhook has left its hint
            self._pass(project_id)
            adding += cpu_s(lambda: self.sync(project_id))
            self._pass(project_id)
            self.sync(project_id)
        idle = cpu_s(lambda: self.sync(project_id), TIMES)
        n = len(open_ids)
        return {"one_change_cpu_s": adding / n - idle, "labelling_cpu_s": labelling / n}

    def publish(self, project_id: int) -> dict[str, float]:
        """A bare import of some predictions, a push of the same by nnloop, and of one more."""
        with self.context.store.begin() as session:
            ids = [row.id for row in _unlabelled(session, project_id, PUSHED + TIMES)]
            version = VersionRow(project_id=project_id, name=f"nnloop-v{project_id}", path="")
            session.add(version)
            session.flush()
            versions.promote(session, version)
            version_id = version.id
        results = {task_id: regions(self._rng) for task_id in ids}
        first = ids[:-TIMES]
        bare = [PushedPrediction(i, results[i], 0.5, "bare") for i in first]
        bare_s = cpu_s(lambda: self.client.import_predictions(project_id, bare))
        self.client.delete_model_version(project_id, "bare")
        self._predict(project_id, version_id, {i: results[i] for i in first})
        pushed_s = cpu_s(lambda: self._publish(project_id))
        with self.context.store.begin() as session:
            versions.mark_published(session, version_id)  # the rest of the pool is not scored here
        self._publish(project_id)
        one_s = 0.0
        for task_id in ids[-TIMES:]:
            self._predict(project_id, version_id, {task_id: results[task_id]})
            one_s += cpu_s(lambda: self._publish(project_id))
        with self.context.store.read() as session:
            n_held = predictions.count_held(session, version_id)
        if n_held != len(ids) or self.client.count_predictions(project_id)[version.name] != n_held:
            raise AssertionError(f"{n_held} of {len(ids)} predictions are there.")
        return {
            "publish_ratio": bare_s / pushed_s,
            "publish_one_cpu_s": one_s / TIMES,
            "import_cpu_s": bare_s,
            "publish_cpu_s": pushed_s,
        }

    def _predict(
        self, project_id: int, version_id: int, results: dict[int, list[dict[str, Any]]]
    ) -> None:
        with self.context.store.begin() as session:
            for task_id, result in results.items():
                source = session.get_one(TaskRow, task_id).source
                session.add(
                    PredictionRow(
                        project_id=project_id,
                        task_id=task_id,
                        version_id=version_id,
                        result=result,
                        score=0.5,
                        source=source,
                    )
                )

    def _publish(self, project_id: int) -> None:
        if try_publish(self.context, project_id) is None:
            raise AssertionError("No version serves.")


def _unlabelled(session: Session, project_id: int, limit: int) -> list[TaskRow]:
    return predictions.unscored_tasks(session, project_id, 0, limit)  # there is no version 0


def cpu_s(work: Callable[[], object], times: int = 1) -> float:
    """Seconds that Label Studio's processes compute while something is done, per time."""
    before = _children_s()
    for _ in range(times):
        work()
    return (_children_s() - before) / times


def _children_s() -> float:
    """What the processes below this one have computed: Label Studio's."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            spent = process.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        total += spent.user + spent.system
    return total


@contextmanager
def running_bench(folder: Path) -> Iterator[Bench]:
    """Starts a Label Studio, and nnloop's web service in a thread."""
    with running_label_studio(folder) as server:
        data_dir = folder / "nnloop"
        data_dir.mkdir()
        settings = Settings(
            data_dir=data_dir,
            port=free_port("127.0.0.1"),
            label_studio_url=server.url,
            label_studio_api_key=server.credentials.token,
        )
        store = Store(settings.store_url, data_dir)
        store.migrate()
        context = AppContext(settings, store, FakeQueue())
        app = create_app(context, run_ticker=False)
        config = uvicorn.Config(app, host="127.0.0.1", port=settings.port, log_level="warning")
        web = uvicorn.Server(config)
        thread = threading.Thread(target=web.run, daemon=True)
        thread.start()
        while not web.started:
            time.sleep(0.05)
        try:
            yield Bench(context)
        finally:
            web.should_exit = True
            thread.join(10.0)
            store.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints one JSON object as the last line.

    Its figures are those of the largest project; ``by_tasks`` has all of them. What an annotator
    waits for, and the memory of the web service, are those of ``benchmarks.service_web``.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=list(TASKS), metavar="N")
    options = parser.parse_args(argv)
    by_tasks: dict[int, dict[str, float]] = {}
    web = service_web.measured()
    with tempfile.TemporaryDirectory() as name:
        try:
            with running_bench(Path(name)) as bench:
                for n_tasks in sorted(options.tasks):
                    project_id = bench.make_project(n_tasks)
                    found = bench.idle_minute(project_id, n_tasks)
                    found |= bench.one_change(project_id)
                    found["all_cpu_s"] = bench.all_read(project_id)
                    found |= bench.publish(project_id)
                    by_tasks[n_tasks] = {key: round(value, 3) for key, value in found.items()}
                    print(f"{n_tasks} tasks: {by_tasks[n_tasks]}", flush=True)
        except NotInstalledError as error:
            print(error, file=sys.stderr)
            sys.exit(UNABLE)
    largest = by_tasks[max(by_tasks)]
    keys = ("idle_minute_cpu_s", "one_change_cpu_s", "publish_ratio", "publish_one_cpu_s")
    print(
        json.dumps(
            {
                **web,
                **{key: largest[key] for key in keys},
                "by_tasks": by_tasks,
                "peak_mb_of_reading": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()

"""Images that drip or lead nowhere hold up no annotator, no other task and no other project."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.stack.ports import LOOPBACK
from backend.store.models import VersionRow
from tests.integration.loop.discs import scene
from tests.integration.loop.stack import DEADLINE_S, IMAGE_DEADLINE_S, Loop, LoopProject


class _Slow(BaseHTTPRequestHandler):
    """Sends a byte every two seconds, or an answer without the address it speaks of."""

    def do_GET(self) -> None:
        if self.path.startswith("/nowhere"):
            self.send_response(302)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(2.0)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def slow_host() -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), _Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Dripping:
    """A project whose version serves, and tasks added since whose images never come."""

    project: LoopProject
    bad: list[int]
    good: list[int]
    since: float


@pytest.fixture(scope="module")
def dripping(loop: Loop, slow_host: str) -> Dripping:
    project = loop.make_project("Dripping", 6, settings={"budget_s": 1.0, "min_annotations": 4})
    loop.annotate(project, project.task_ids[:4])
    assert not loop.finished_run(project, 1).error
    urls = [
        *(f"{slow_host}/drip-{i}.png" for i in range(9)),
        f"{slow_host}/nowhere.png",
        f"http://{'a' * 64}.example/a.png",
    ]
    since = time.monotonic()
    answer = loop.client._connection.json(
        "POST",
        f"/api/projects/{project.id}/import",
        params={"return_task_ids": "true"},
        body=[{"image": url} for url in urls],
    )
    files = [(f"late-{i}.png", scene(20 + i).png) for i in range(4)]
    good = loop.client.import_images(project.id, files)
    return Dripping(project, [int(i) for i in answer["task_ids"]], good, since)


def _ask(loop: Loop, dripping: Dripping, task_id: int) -> tuple[int, float]:
    task = loop.client.task(task_id)
    body = {
        "project": dripping.project.id,
        "tasks": [{"id": task_id, "data": task.data}],
        "label_config": "",
        "params": {"context": {}},
    }
    answer = loop.post("/predict", body)
    return answer.status, answer.seconds


def test_an_annotator_is_answered_while_images_drip(loop: Loop, dripping: Dripping) -> None:
    statuses: list[tuple[int, float]] = []
    waits = threading.Thread(
        target=lambda: statuses.append(_ask(loop, dripping, dripping.bad[0])), daemon=True
    )
    waits.start()
    time.sleep(0.3)
    status, seconds = _ask(loop, dripping, dripping.good[-1])
    assert status == 200 and seconds < DEADLINE_S
    waits.join(30)
    [(status, seconds)] = statuses
    assert status == 503 and seconds < DEADLINE_S + 4


def test_good_tasks_are_pushed_before_the_bad_ones_are_given_up(
    loop: Loop, dripping: Dripping
) -> None:
    wanted = {*dripping.project.task_ids[4:], *dripping.good}

    def are_pushed() -> bool:
        return {r.task_id for r in loop.client.iter_predictions(dripping.project.id)} >= wanted

    loop.wait_until(are_pushed, IMAGE_DEADLINE_S + 45, "the predictions of the good tasks")


def test_reading_waits_for_no_image(loop: Loop, dripping: Dripping) -> None:
    other = loop.make_project("Beside", 2)
    started = time.monotonic()
    loop.annotate(other, other.task_ids[:1])
    loop.wait_until(lambda: loop.report(other).labelled == 1, 20, "the reading of a project")
    assert time.monotonic() - started < 10


def test_each_bad_task_is_named_once_and_tried_no_more_for_now(
    loop: Loop, dripping: Dripping
) -> None:
    def named() -> list[int]:
        problems = loop.report(dripping.project).problems
        return sorted(problem.task_id or 0 for problem in problems if problem.stage == "score")

    loop.wait_until(
        lambda: len(named()) >= len(dripping.bad), 2 * IMAGE_DEADLINE_S + 45, "the problems"
    )
    assert named() == sorted(dripping.bad)
    groups = loop.report(dripping.project).problem_groups
    assert sorted(group.count for group in groups) == [1, 1, 9]
    loop.wait_until(lambda: not sum(loop.context.queue.counts().values()), 30, "an empty queue")
    status = loop.nnloop("status", "Dripping", COLUMNS="80")
    assert len(status.text.splitlines()) < 60
    assert "9 tasks: the image" in " ".join(status.text.split())
    with loop.context.store.begin() as session:
        versions = session.query(VersionRow).filter_by(project_id=dripping.project.id).all()
    assert all(version.published_at is not None for version in versions)

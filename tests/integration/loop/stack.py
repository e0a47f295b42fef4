"""The product's own processes beside a real Label Studio, and what tests do with them."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import select

from backend.credentials import service_credentials
from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction, ServedTask
from backend.pipeline.basis.context import AppContext
from backend.pipeline.connection.connect import connect
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport, project_report
from backend.settings import Settings
from backend.stack import service
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.supervisor import Supervisor
from backend.store.models import InboxRow
from tests.integration.fold_processes import fold_processes
from tests.integration.loop import command
from tests.integration.loop.discs import LABEL_CONFIG, Scene, scene
from training.folds.spec import PROGRESS

T = TypeVar("T")

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

DEADLINE_S = 6.0
"""NNLOOP_PREDICT_DEADLINE_S of the stack."""

IMAGE_DEADLINE_S = 12.0
"""NNLOOP_IMAGE_DEADLINE_S of the stack."""

RUN_S = 240.0
"""Longest wait for a training run; it takes 15 to 30 s on two cores."""

SMALL: dict[str, Any] = {
    "preset": "tiny",
    "n_folds": 2,
    "budget_s": 12.0,
    "min_annotations": 6,
    "retrain_after": 3,
    # The second version must replace the first whatever so short a training makes of it.
    "gate_margin": 1.0,
}


@dataclass
class LoopProject:
    """A connected project and the truth of its tasks."""

    id: int
    title: str
    scenes: dict[int, Scene]

    @property
    def task_ids(self) -> list[int]:
        """In the order of import."""
        return sorted(self.scenes)


@dataclass
class Answer:
    """What the web service or the command line said."""

    status: int
    text: str
    seconds: float

    @property
    def body(self) -> Any:
        """The text, read as JSON."""
        return json.loads(self.text)


@dataclass
class Loop:
    """Everything that runs, and how to reach it."""

    context: AppContext
    settings: Settings
    supervisor: Supervisor
    label_studio: LabelStudioServer
    client: LabelStudioClient = field(repr=False)

    def make_project(
        self,
        title: str,
        n_images: int = 0,
        *,
        label_config: str = LABEL_CONFIG,
        settings: dict[str, Any] | None = None,
    ) -> LoopProject:
        """A connected project with generated images, read once and with no hint left open."""
        made = self.client.create_project(title, label_config)
        scenes = [scene(seed) for seed in range(n_images)]
        files = [(f"scene-{i:02d}.png", found.png) for i, found in enumerate(scenes)]
        ids = self.client.import_images(made.id, files) if files else []
        project = LoopProject(made.id, title, dict(zip(ids, scenes, strict=True)))
        connect(self.context, made.id, {**SMALL, **(settings or {})})

        def is_read() -> bool:
            is_known = self.report(project).tasks == n_images
            if not is_known or self.hints(project, is_open=True):
                return False
            return all(job.id != f"sync-{made.id}" for job in self.context.queue.jobs())

        self.wait_until(is_read, 30, f"the first reading of {title}")
        return project

    def switch_webhook(self, project: LoopProject, *, is_active: bool) -> None:
        """Makes Label Studio send the project's webhook, or lose it."""
        api = self.client._connection
        (webhook,) = api.json("GET", "/api/webhooks/", params={"project": project.id})
        fields = {"url": webhook["url"], "is_active": is_active}
        api.json("PATCH", f"/api/webhooks/{webhook['id']}/", body=fields)

    def annotate(self, project: LoopProject, task_ids: Iterable[int]) -> list[int]:
        """Submits the true polygons through Label Studio's API; the annotations' ids."""
        return [self.client.annotate(i, project.scenes[i].result) for i in task_ids]

    def report(self, project: LoopProject) -> ProjectReport:
        """What `nnloop status` says."""
        return project_report(self.context, project.id)

    def hints(self, project: LoopProject, *, is_open: bool = False) -> list[InboxRow]:
        """The webhooks that arrived, oldest first."""
        query = select(InboxRow).where(InboxRow.project_id == project.id).order_by(InboxRow.id)
        if is_open:
            query = query.where(InboxRow.handled_at.is_(None))
        with self.context.store.begin() as session:
            return list(session.scalars(query))

    def epochs(self, project: LoopProject, number: int, fold: int) -> list[int]:
        """The epochs a fold reported, in order; a line that was cut off is none."""
        epochs = []
        path = self.context.workspace(project.id).fold_dir(number, fold) / PROGRESS
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                epochs.append(int(json.loads(line)["epoch"]))
            except ValueError:
                continue
        return epochs

    def children(self, project: LoopProject) -> list[int]:
        """The processes that train folds of a project."""
        folder = self.context.workspace(project.id).folder
        return [process.pid for process, spec in fold_processes() if folder in spec.parents]

    def run(self, project: LoopProject, number: int) -> RunReport | None:
        """A run by its number."""
        return next((r for r in self.report(project).runs if r.number == number), None)

    def finished_run(
        self, project: LoopProject, number: int, timeout_s: float = RUN_S
    ) -> RunReport:
        """Waits until a run is over."""

        def look() -> RunReport | None:
            run = self.run(project, number)
            return run if run is not None and run.status.is_final else None

        return self.wait_until(look, timeout_s, f"run {number} of {project.title}")

    def wait_until(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """The first answer that is true; fails with what stands in the logs.

        ``timeout_s`` is long for a machine with nothing else to do: a busy one is no failure.
        """
        longest_s = min(3.0 * timeout_s, timeout_s + 120.0)
        deadline = time.monotonic() + longest_s
        while not (found := look()):
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not within {longest_s:g} s.\n{self._logs()}", pytrace=False)
            # A look may read all of a project: no core is to be busy with it.
            time.sleep(0.25)
        return found

    def post(self, path: str, body: Any, *, authorization: str | None = "") -> Answer:
        """Calls the web service as Label Studio does; "" logs in, None sends no credentials."""
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization or self.basic
        request = urllib.request.Request(
            f"{self.settings.service_url}{path}", json.dumps(body).encode(), headers
        )
        started = time.monotonic()
        try:
            with _OPENER.open(request, timeout=60) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        return Answer(status, text, time.monotonic() - started)

    @property
    def basic(self) -> str:
        """The header Label Studio logs in with."""
        login = ":".join(service_credentials(self.settings))
        return "Basic " + base64.b64encode(login.encode()).decode()

    def nnloop(self, *arguments: str, **environment: str) -> Answer:
        """Runs the command line as a person would: another process, the same data folder."""
        started = time.monotonic()
        status, out, err = command.run(
            arguments,
            env={
                "NNLOOP_DATA_DIR": str(self.settings.data_dir),
                "NNLOOP_DATABASE_URL": self.settings.database_url,
                "LABEL_STUDIO_URL": self.label_studio.url,
                "LABEL_STUDIO_API_KEY": self.label_studio.credentials.token,
                **environment,
            },
            cwd=self.settings.data_dir,
            timeout_s=120.0,
        )
        return Answer(status, out if status == 0 else out + err, time.monotonic() - started)

    def _logs(self) -> str:
        tails = []
        for path in sorted((self.settings.data_dir / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            tails.append("\n".join([f"--- {path.name}", *lines]))
        return "\n".join(tails)


@dataclass(frozen=True)
class Served:
    """A project with its first version, and what was seen on the way there."""

    project: LoopProject
    first_annotation_at: float
    hints: list[InboxRow]
    run: RunReport
    report: ProjectReport
    info: ProjectInfo
    predictions: dict[int, PushedPrediction]
    offered: ServedTask | None


def serve_first_version(loop: Loop, n_images: int = 14, n_labels: int = 6) -> Served:
    """Annotates through Label Studio's API and looks on until the first version serves."""
    project = loop.make_project("Discs", n_images)
    known = len(loop.hints(project))
    started = time.time()
    loop.annotate(project, project.task_ids[:n_labels])
    run = loop.finished_run(project, 1)
    hints = loop.hints(project)[known:]
    return Served(
        project=project,
        first_annotation_at=started,
        hints=hints,
        run=run,
        report=loop.report(project),
        info=loop.client.project(project.id),
        predictions={row.task_id: row for row in loop.client.iter_predictions(project.id)},
        offered=loop.client.next_task(project.id),
    )


@contextmanager
def running_loop(label_studio: LabelStudioServer, data_dir: Path) -> Iterator[Loop]:
    """Starts the stack as `nnloop up` does; at the end nothing of it may be left running."""
    settings = Settings(
        data_dir=data_dir,
        port=0,
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.credentials.token,
        devices="cpu",
        debounce_s=0.5,
        predict_deadline_s=DEADLINE_S,
        image_deadline_s=IMAGE_DEADLINE_S,
        image_hosts="127.0.0.1",
        # No reading by the clock: what happens, happens because a webhook came.
        sync_interval_s=3600.0,
    )
    with service.running(settings) as (supervisor, ready):
        context = AppContext.open(ready)
        yield Loop(context, ready, supervisor, label_studio, context.label_studio)
        context.store.close()
    assert supervisor.leftover_processes() == []

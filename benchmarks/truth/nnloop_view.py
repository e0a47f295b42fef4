"""What nnloop trains on and offers: the one module of this benchmark that calls the product."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import numpy as np
from PIL import Image

from backend.credentials import service_credentials
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.cases.write import CaseWriter, Source
from backend.pipeline.connection.connect import connect
from backend.pipeline.predictions.publish import try_publish
from backend.pipeline.status import project_report
from backend.pipeline.sync.reading import sync_project
from backend.stack.service import environment
from backend.store import projects
from backend.store.tasks import predictions, snapshots
from backend.store.training import versions
from benchmarks.truth.compare import Seen
from domain.errors import NnloopError

REST_S = 40.0
"""Longest wait until nnloop has done what it was told of."""

_LOOK_S = 0.2
_CLI_S = 180.0
_AGAIN_S = 3.0

SETTINGS: Mapping[str, Any] = {
    "preset": "tiny",
    "n_folds": 2,
    "budget_s": 30.0,
    # The version of the start is to stay, whatever is annotated then.
    "retrain_after": 1_000_000,
    "gate_margin": 1.0,
}


@dataclass
class NnloopView:
    """nnloop on one data folder; its web service and prediction worker run beside."""

    context: AppContext
    project_id: int = 0

    def connect(self, project_id: int, min_annotations: int) -> None:
        """Connects a project as `nnloop connect` does."""
        self.project_id = project_id
        connect(self.context, project_id, {**SETTINGS, "min_annotations": min_annotations})

    def wait_for_version(self, timeout_s: float) -> str:
        """Waits for the first version; its name. RuntimeError when none comes."""
        name = self._wait(lambda: project_report(self.context, self.project_id).champion, timeout_s)
        if not name:
            report = project_report(self.context, self.project_id)
            raise RuntimeError(f"No version within {timeout_s:g} s: {report}")
        return str(name)

    def settle(self) -> list[str]:
        """Lets nnloop read Label Studio, score and push; what went wrong, in words."""
        faults = []
        if self._wait(self._has_no_hint, REST_S) is None:
            faults.append(f"hints are open after {REST_S:g} s: nnloop fails to read the project")
        try:
            sync_project(self.context, self.project_id)
        except Exception as error:  # noqa: BLE001 - a fault of the product is what is looked for
            faults.append(f"reading the project failed: {_words(error)}")
        if self._wait(self._is_scored, REST_S) is None:
            faults.append(f"tasks are not predicted after {REST_S:g} s")
        try:
            try_publish(self.context, self.project_id)
        except Exception as error:  # noqa: BLE001
            faults.append(f"pushing predictions failed: {_words(error)}")
        return faults

    def training_view(self) -> dict[int, Seen]:
        """The cases that a training would get now, by task id: prepared as a run does."""
        try:
            return self._prepared()
        except Exception:  # noqa: BLE001
            # A run that the session made due may be at the same cases: what fails twice is a fault.
            time.sleep(_AGAIN_S)
            return self._prepared()

    def _prepared(self) -> dict[int, Seen]:
        context = self.context
        with context.store.begin() as session:
            project = projects.get(session, self.project_id)
            settings = project.settings
            sources = [
                Source(task, annotations)
                for task, annotations in snapshots.chosen_annotations(
                    session, self.project_id, settings.annotator_policy, results=False
                )
            ]
        config = label_config_of(project, settings)
        written = CaseWriter(context, project, config, settings, lambda: None).write(sources)
        seen = {}
        for source in sources:
            files = written.files.get(source.case_id)
            if files is not None:
                with Image.open(files.label_png) as image:
                    label_map = np.array(image, dtype=np.uint8)
                seen[source.task.id] = Seen(label_map, tuple(config.class_values))
        return seen

    def offered(
        self, tasks: Sequence[Mapping[str, Any]], project: Mapping[str, Any]
    ) -> dict[int, list[Any]]:
        """The regions that /predict answers with, task by task, as Label Studio asks."""
        if not self._has_version():
            return {}
        found = {}
        made = int(datetime.fromisoformat(project["created_at"]).timestamp())
        with httpx.Client(
            base_url=self.context.settings.service_url,
            auth=service_credentials(self.context.settings),
            timeout=60,
            trust_env=False,
        ) as service:
            for task in tasks:
                asked = {
                    "id": task["id"],
                    "data": task["data"],
                    "created_at": task["created_at"],
                    "updated_at": task["updated_at"],
                    "project": self.project_id,
                }
                body = {
                    "tasks": [asked],
                    "project": f"{self.project_id}.{made}",
                    "label_config": project["label_config"],
                    "params": {"login": None, "password": None, "context": None},
                }
                answer = service.post("/predict", json=body)
                if answer.status_code == httpx.codes.OK:
                    found[int(task["id"])] = list(answer.json()["results"][0]["result"])
        return found

    def run(self, *arguments: str) -> tuple[int, str]:
        """Runs the command line; exit status and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *arguments],
            env={**environment(self.context.settings), "COLUMNS": "200"},
            cwd=self.context.settings.data_dir,
            capture_output=True,
            text=True,
            timeout=_CLI_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def map_label(self, old: str, new: str) -> bool:
        """Tells nnloop that a class has another name now; whether it took it."""
        return self.run("labels", str(self.project_id), "--map", f"{old}={new}")[0] == 0

    def _has_version(self) -> bool:
        with self.context.store.begin() as session:
            return versions.champion(session, self.project_id) is not None

    def _has_no_hint(self) -> bool:
        with self.context.store.begin() as session:
            return all(row[0] != self.project_id for row in projects.open_hints(session))

    def _is_scored(self) -> bool:
        with self.context.store.begin() as session:
            version = versions.champion(session, self.project_id)
            return version is None or not predictions.unscored_tasks(
                session, self.project_id, version.id, 1, retry=False
            )

    def _wait(self, look: Callable[[], Any], timeout_s: float) -> Any:
        """The first true answer, or None after the time."""
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            if time.monotonic() > deadline:
                return None
            time.sleep(_LOOK_S)
        return found


def _words(error: Exception) -> str:
    if isinstance(error, NnloopError):
        return error.in_full
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"

"""A whole nnloop on a real store, with a Label Studio and a queue in memory."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.label_studio import BackendInfo
from backend.label_studio.projects import UNCERTAINTY_SAMPLING
from backend.pipeline.basis.context import AppContext
from backend.pipeline.sync.drift import TITLE, webhook_headers, webhook_url
from backend.settings import ProjectSettings, Settings
from backend.store import Store
from backend.store.models import ProjectRow, RunRow, TaskRow, VersionRow
from backend.store.training import versions
from domain.case import case_id_of_task
from domain.states import RunStatus, TaskState, VersionOrigin
from tests.fakes.label_studio import CONFIG, FakeLabelStudio
from tests.fakes.queue import FakeQueue
from tests.fakes.statements import share_statements

PROJECT = 1


class FakeApp:
    """What a process of nnloop works with; ``connect`` is done already for project 1."""

    def __init__(self, folder: Path, database: Path | str) -> None:
        """Takes an empty store: SQLite's file, which is copied, or the URL of another."""
        if isinstance(database, Path):
            shutil.copy(database, folder / "nnloop.db")
        settings = Settings.load(
            data_dir=folder,
            database_url=database if isinstance(database, str) else "",
            redis_url="",
            debounce_s=2.0,
            sync_interval_s=60.0,
        )
        self.store = Store(settings.store_url, folder)
        share_statements(self.store.engine)
        self.queue = FakeQueue()
        self.label_studio = FakeLabelStudio(PROJECT)
        self.context = AppContext(settings, self.store, self.queue)
        # In the place of the client that the context opens at its first use.
        self.context.__dict__["label_studio"] = self.label_studio
        with self.store.begin() as session:
            session.add(ProjectRow(id=PROJECT, title="Carotid", label_config=CONFIG))
        studio = self.label_studio
        studio.backends = [BackendInfo(1, settings.service_url, TITLE, "CO")]
        studio.webhooks[webhook_url(settings)] = webhook_headers(settings)
        studio.info = replace(studio.info, sampling=UNCERTAINTY_SAMPLING)

    def change_settings(self, **values: Any) -> None:
        with self.store.begin() as session:
            session.get_one(ProjectRow, PROJECT).settings = ProjectSettings(**values)

    def add_run(self, status: RunStatus, number: int = 1, **fields: object) -> int:
        with self.store.begin() as session:
            run = RunRow(project_id=PROJECT, number=number, status=status, **fields)
            session.add(run)
            session.flush()
            return run.id

    def run(self, run_id: int) -> RunRow:
        with self.store.begin() as session:
            return session.get_one(RunRow, run_id)

    def add_version(
        self, number: int = 1, *, published_at: float | None = None, **fields: object
    ) -> int:
        """A version that serves, and the run that made it."""
        manifest = fields.pop("manifest", None)
        run_id = self.add_run(RunStatus.DONE, number, manifest=manifest)
        name = f"nnloop-v{number}"
        with self.store.begin() as session:
            values = {"path": str(self.context.workspace(PROJECT).version_dir(name)), **fields}
            version = VersionRow(project_id=PROJECT, run_id=run_id, name=name, **values)
            session.add(version)
            session.flush()
            versions.promote(session, version)
            version.published_at = published_at
            return version.id

    def add_imported(self, name: str, **fields: object) -> int:
        """A version that serves and was trained elsewhere."""
        with self.store.begin() as session:
            values = {"path": str(self.context.workspace(PROJECT).version_dir(name)), **fields}
            version = VersionRow(
                project_id=PROJECT, name=name, origin=VersionOrigin.IMPORTED, **values
            )
            session.add(version)
            session.flush()
            versions.promote(session, version)
            return version.id

    def case_id(self, task_id: int) -> str:
        """Of the case that a task, read before, becomes."""
        with self.store.begin() as session:
            return case_id_of_task(task_id, session.get_one(TaskRow, task_id).source)

    def add_tasks(self, *task_ids: int, state: TaskState = TaskState.UNLABELLED) -> None:
        """Snapshots of tasks, also known to Label Studio."""
        with self.store.begin() as session:
            for task_id in task_ids:
                self.label_studio.add_task(task_id)
                data = self.label_studio.tasks[task_id].data
                session.add(TaskRow(id=task_id, project_id=PROJECT, data=data, state=state))

    @property
    def jobs(self) -> list[tuple[str, tuple[int, ...]]]:
        """What was asked of the queue, as (last part of the name, ids)."""
        return [(name.rpartition(".")[2], ids) for name, ids in self.queue.asked]

"""Projects served by the session's first version, for tests that change what is under an id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.models.archive import export_version, import_model
from backend.queue import JobName
from backend.store.models import TaskRow
from tests.integration.loop.stack import Answer, Loop, LoopProject, Served

WAIT_S = 60.0


class Changing:
    """A connected project and what is done to it behind nnloop's back."""

    def __init__(self, loop: Loop, project: LoopProject) -> None:
        self.loop, self.project, self.id = loop, project, project.id
        self.client = loop.client
        self.api = loop.client._connection

    def sync(self) -> None:
        """Has the worker read the project, as the clock would."""
        self.loop.context.queue.ensure(JobName.SYNC, self.id)

    def held(self) -> dict[int, list[PushedPrediction]]:
        """What Label Studio holds, by task."""
        found: dict[int, list[PushedPrediction]] = {}
        for row in self.client.iter_predictions(self.id):
            found.setdefault(row.task_id, []).append(row)
        return found

    def wait_for_predictions(
        self, task_ids: list[int], but: dict[int, list[PushedPrediction]] | None = None
    ) -> dict[int, list[PushedPrediction]]:
        """Waits until every task has one prediction, none of them among those given."""
        old = {row.id for rows in (but or {}).values() for row in rows}

        def look() -> dict[int, list[PushedPrediction]] | None:
            held = self.held()
            wanted = [held.get(task_id, []) for task_id in task_ids]
            is_new = all(len(rows) == 1 and rows[0].id not in old for rows in wanted)
            return held if is_new else None

        return self.loop.wait_until(look, WAIT_S, f"new predictions of {self.project.title}")

    def ask(self, *task_ids: int, project: str | None = None) -> Answer:
        """Asks /predict as Label Studio does."""
        tasks = [t for t in self.client.iter_tasks(self.id) if t.id in task_ids]
        return self.loop.post(
            "/predict",
            {
                "tasks": [
                    {"id": t.id, "data": t.data, "created_at": t.created_at, "project": self.id}
                    for t in tasks
                ],
                "project": project or self.reference,
                "params": {"login": None, "password": None, "context": None},
            },
        )

    @property
    def reference(self) -> str:
        """The project as Label Studio names it to backends."""
        created = datetime.fromisoformat(self.client.project(self.id).created_at)
        return f"{self.id}.{int(created.timestamp())}"

    def task(self, task_id: int) -> TaskRow:
        """What the store knows of a task."""
        with self.loop.context.store.begin() as session:
            return session.get_one(TaskRow, task_id)

    def faults(self) -> dict[str, str]:
        """Reason -> remedy of what `nnloop status` says of the connection."""
        found = self.loop.report(self.project).problems
        return {p.reason: p.remedy for p in found if p.stage == "connection"}


@pytest.fixture(scope="module")
def version_zip(loop: Loop, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first version of the session's project, for other projects to serve with."""
    file = tmp_path_factory.mktemp("version") / "version.zip"
    export_version(loop.context, "nnloop-v1", file, served.project.id)
    return file


@pytest.fixture
def serving(loop: Loop, version_zip: Path) -> Iterator[Callable[[str, int], Changing]]:
    """Makes projects whose images are all predicted and pushed; deletes them at the end."""
    made: list[Changing] = []

    def make(title: str, n_images: int) -> Changing:
        found = Changing(loop, loop.make_project(title, n_images, settings={"min_annotations": 99}))
        made.append(found)
        import_model(loop.context, found.id, version_zip, name=f"first-{found.id}")
        found.wait_for_predictions(found.project.task_ids)
        loop.wait_until(
            lambda: found.client.project(found.id).model_version == f"first-{found.id}",
            WAIT_S,
            f"the model version of {title}",
        )
        return found

    yield make
    for one in made:
        if one.id in {p.id for p in one.client.list_projects()}:
            one.client.delete_project(one.id)


@pytest.fixture
def connected(loop: Loop) -> Iterator[Callable[[str, int], Changing]]:
    """Makes connected projects without a version; deletes them at the end."""
    made: list[Changing] = []

    def make(title: str, n_images: int) -> Changing:
        found = Changing(loop, loop.make_project(title, n_images, settings={"min_annotations": 99}))
        made.append(found)
        return found

    yield make
    for one in made:
        if one.id in {p.id for p in one.client.list_projects()}:
            one.client.delete_project(one.id)

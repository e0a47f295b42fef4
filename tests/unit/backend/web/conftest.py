from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from backend.pipeline.basis.context import AppContext
from backend.queue import JobName
from backend.settings import Settings
from backend.store import Store
from backend.store.identity import source_in
from backend.store.models import InboxRow, PredictionRow, ProjectRow, RunRow, TaskRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import runs, versions
from backend.web.app import create_app
from tests.fakes.queue import FakeQueue
from tests.fakes.statements import share_statements
from tests.needed import ON_POSTGRESQL

USER, PASSWORD = "annotator", "secret-basic-password"
SOON_S = 1.5
"""A deadline of /predict that is to pass: long enough for a busy store to answer once."""

XML = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/><Label value="wall"/></PolygonLabels></View>'
)


@dataclass
class Service:
    """A web service on a real store, with a queue that runs nothing."""

    context: AppContext
    queue: FakeQueue
    client: TestClient

    @property
    def store(self) -> Store:
        return self.context.store

    def log_out(self) -> None:
        """From now on the client sends no credentials."""
        self.client.auth = lambda request: request

    def connect(self, project_id: int, label_config: str = XML) -> None:
        with self.store.begin() as session:
            session.add(ProjectRow(id=project_id, title="t", label_config=label_config))

    def promote(self, project_id: int, name: str) -> int:
        """A version that serves."""
        with self.store.begin() as session:
            newest = runs.last_run(session, project_id)
            run = RunRow(project_id=project_id, number=newest.number + 1 if newest else 1)
            session.add(run)
            session.flush()
            version = VersionRow(project_id=project_id, run_id=run.id, name=name, path=name)
            session.add(version)
            session.flush()
            versions.promote(session, version)
            return version.id

    def predict(self, project_id: int, task_id: int, **values: Any) -> None:
        """What the prediction worker does: the champion's answer for a task."""
        with self.store.begin() as session:
            version = versions.champion(session, project_id)
            assert version is not None
            task = session.get(TaskRow, task_id)
            if task is None:
                data = {"image": f"/data/{task_id}.png"}
                source = source_in(data, "", ["image"])
                task = TaskRow(id=task_id, project_id=project_id, data=data, source=source)
                session.add(task)
                session.flush()
            row = PredictionRow(
                project_id=project_id, task_id=task_id, version_id=version.id, **values
            )
            row.source, row.image_hash = task.source, task.image_hash
            predictions.save(session, row)

    def predict_when_asked(self, **values: Any) -> None:
        """From now on, every PREDICT job is done the moment it is enqueued."""

        def work(name: JobName, ids: tuple[int, ...]) -> None:
            if name == JobName.PREDICT:
                self.predict(ids[0], ids[1], **values)

        self.queue.on_ensure = work

    def hints(self) -> list[tuple[int, str, list[int]]]:
        """All there are, once those that a slow store has only acknowledged are written."""
        app = self.client.app
        assert isinstance(app, FastAPI)
        app.state.inbox._writer.submit(bool).result()
        with self.store.begin() as session:
            rows = session.scalars(select(InboxRow).order_by(InboxRow.id))
            return [(row.project_id, row.action, row.task_ids) for row in rows]

    def tasks(self) -> dict[int, TaskRow]:
        with self.store.begin() as session:
            return {row.id: row for row in session.scalars(select(TaskRow))}


def ask_predict(project: object, *task_ids: int, **more: Any) -> dict[str, Any]:
    """A /predict body."""
    tasks = [{"id": i, "data": {"image": f"/data/{i}.png"}} for i in task_ids]
    return {"tasks": tasks, "project": project, "params": {"context": None}, **more}


def region(label: str = "lumen", control: str = "label") -> dict[str, Any]:
    return {
        "id": "r",
        "from_name": control,
        "to_name": "image",
        "type": "polygonlabels",
        "value": {"points": [[1, 1], [9, 1], [9, 9]], "closed": True, "polygonlabels": [label]},
    }


@pytest.fixture
def deadline_s() -> float:
    """Of /predict; long, so that a busy machine fails no test. Tests of lateness choose SOON_S."""
    return 30.0


@pytest.fixture
def context(
    tmp_path: Path, request: pytest.FixtureRequest, deadline_s: float
) -> Iterator[AppContext]:
    if ON_POSTGRESQL:
        url = request.getfixturevalue("empty_postgresql")
    else:
        url = ""
        shutil.copy(request.getfixturevalue("migrated_database"), tmp_path / "nnloop.db")
    settings = Settings.load(
        data_dir=tmp_path,
        database_url=url,
        basic_auth_user=USER,
        basic_auth_pass=PASSWORD,
        predict_deadline_s=deadline_s,
    )
    store = Store(settings.store_url, tmp_path)
    share_statements(store.engine)
    yield AppContext(settings, store, FakeQueue())
    store.close()


@pytest.fixture
def service(context: AppContext) -> Iterator[Service]:
    app = create_app(context, run_ticker=False)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.auth = (USER, PASSWORD)
        assert isinstance(context.queue, FakeQueue)
        yield Service(context, context.queue, client)

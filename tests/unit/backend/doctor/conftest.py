from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.doctor.check import Finding
from backend.doctor.checks import OF_INSTALLATION
from backend.doctor.patient import Patient
from backend.doctor.visit import Visit
from backend.label_studio import BackendInfo
from backend.pipeline.queues.fill import try_fill
from backend.pipeline.sync.drift import TITLE, webhook_headers, webhook_url
from backend.queue import QueueName
from backend.queue.worker_info import WorkerInfo
from backend.store import projects
from backend.store.models import ProjectRow
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.listener import Listener, listening

PASSWORD = "geheimes Wort/1"
SLOW = {"service", "versions", "shared_folder"}


class Installation(FakeApp):
    """nnloop where everything is as it should be, with a web service that answers."""

    def __init__(self, folder: Path, database: Path, listener: Listener) -> None:
        super().__init__(folder, database)
        self.listener = listener
        listener.answer("/health", {"status": "UP", "model_class": "nnloop"})
        listener.answer("/versions", {"versions": []})
        settings = self.context.settings.model_copy(
            update={
                "public_url": listener.url,
                # No program listens there, not even an nnloop of this machine.
                "port": 1,
                "label_studio_url": "http://localhost:8080",
                "label_studio_api_key": SecretStr("3f" * 20),
                "basic_auth_pass": SecretStr(PASSWORD),
                "redis_url": "redis://:redis-wort@localhost:6379/0",
            }
        )
        self.context = replace(self.context, settings=settings)
        self.context.__dict__["label_studio"] = self.label_studio
        studio = self.label_studio
        studio.backends = [BackendInfo(1, settings.service_url, TITLE, "CO")]
        studio.webhooks = {webhook_url(settings): webhook_headers(settings)}
        studio.on_update = self.hint
        self.queue.at_work = [WorkerInfo("w-elsewhere-1-a", tuple(QueueName), "")]
        self.add_tasks(1, 2, 3)
        try_fill(self.context, PROJECT)
        studio.calls.clear()
        self.queue.asked.clear()

    def hint(self) -> None:
        """What comes of a webhook that fires and arrives."""
        with self.store.begin() as session:
            projects.add_hint(session, PROJECT, "PROJECT_UPDATED", [])

    def read_at(self, moment: float) -> None:
        with self.store.begin() as session:
            session.get_one(ProjectRow, PROJECT).synced_at = moment

    def visit(
        self, project: str | None = "1", *, fixes: bool = False, is_whole: bool = False
    ) -> Visit:
        """A visit; without what takes a tenth of a second or more, unless it is to be whole."""
        made = Visit(Patient.of(self.context), fixes)
        if not is_whole:
            made.of_installation = [one for one in OF_INSTALLATION if one.id not in SLOW]
            made.patient.there.add("service")
        made.make(project)
        return made


def found(visit: Visit, name: str) -> Finding:
    """The first finding of a check."""
    return next(one.finding for one in visit.looked if one.check.id == name)


@pytest.fixture
def well(tmp_path: Path, migrated_database: Path) -> Iterator[Installation]:
    with listening() as listener:
        made = Installation(tmp_path, migrated_database, listener)
        made.read_at(time.time())
        yield made
        made.store.close()

"""A backup of a running nnloop, restored into the services of docker-compose.yml.

They run as local processes: PostgreSQL and Redis with passwords, a service for each role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.runs import control
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport
from backend.store import Store, projects
from backend.store.forget import forget_project
from domain.states import RunStatus
from tests.conftest import installed
from tests.integration.loop import composed
from tests.integration.loop.discs import scene
from tests.integration.loop.stack import Answer, Loop


@dataclass(frozen=True)
class Restored:
    """What was seen; ``new_task`` came after the backup, ``run`` began on the restored folder."""

    saved: Answer
    verified: Answer
    restored: Answer
    connected: Answer
    published: Answer
    new_task: int
    report: ProjectReport
    predictions: dict[int, PushedPrediction]
    run: RunReport
    n_cases: int


@pytest.fixture(scope="module")
def host(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[composed.Host]:
    with installed(
        composed.servers(loop.label_studio, tmp_path_factory.mktemp("compose"))
    ) as found:
        yield found


@pytest.fixture(scope="module")
def restored(loop: Loop, host: composed.Host, tmp_path_factory: pytest.TempPathFactory) -> Restored:
    file = str(tmp_path_factory.mktemp("backup") / "nnloop.zip")
    project = loop.make_project("Saved", 8, settings={"budget_s": 1.0, "min_annotations": 4})
    loop.annotate(project, project.task_ids[:4])
    loop.finished_run(project, 1)
    saved = loop.nnloop("backup", file)
    verified = loop.nnloop("backup", file, "--verify")
    # What happens now is in no backup; and the old nnloop is gone.
    loop.switch_webhook(project, is_active=False)
    loop.annotate(project, project.task_ids[4:5])
    loop.nnloop("disconnect", str(project.id), "--local")
    answer = loop.nnloop(
        "restore", file, "--data-dir", str(host.data_dir), NNLOOP_DATABASE_URL=host.database_url
    )
    _keep_only(project.id, host.data_dir, host.database_url)
    with composed.running(host, loop.label_studio) as other:
        other.wait_until(lambda: other.nnloop("status", "--check").status == 0, 120, "all services")
        connected = other.nnloop("connect", str(project.id))
        published = other.nnloop("publish", str(project.id))
        (new_task,) = other.client.import_images(project.id, [("new.png", scene(99).png)])

        def predictions() -> dict[int, PushedPrediction]:
            return {row.task_id: row for row in other.client.iter_predictions(project.id)}

        other.wait_until(lambda: new_task in predictions(), 90, "the prediction of the new task")
        found, report = predictions(), other.report(project)
        other.annotate(project, project.task_ids[5:7])

        def trains() -> RunReport | None:
            run = other.run(project, 2)
            return run if run is not None and run.status == RunStatus.TRAINING else None

        run = other.wait_until(trains, 90, "the training after the restoration")
        n_cases = len(list(other.context.workspace(project.id).raw_dataset.glob("imagesTr/*")))
        control.cancel(other.context, project.id)
        other.finished_run(project, 2)
        other.nnloop("disconnect", str(project.id))
    return Restored(
        saved, verified, answer, connected, published, new_task, report, found, run, n_cases
    )


def _keep_only(project_id: int, data_dir: Path, url: str) -> None:
    """The other tests' projects stay with the nnloop that has them."""
    store = Store(url, data_dir)
    with store.begin() as session:
        for other in projects.all_ids(session):
            if other != project_id:
                forget_project(session, other)
    store.close()


def test_the_commands_say_what_they_did(restored: Restored) -> None:
    answers = (restored.saved, restored.verified, restored.restored)
    assert [answer.status for answer in answers] == [0, 0, 0]
    assert "is whole" in restored.verified.text
    assert (restored.connected.status, restored.published.status) == (0, 0)


def test_the_restored_version_serves_old_tasks_and_new_ones(restored: Restored) -> None:
    assert restored.report.champion == "nnloop-v1"
    # The label that came after the backup was read; its task needs no prediction of its own.
    assert restored.report.labelled == 5
    assert {row.model_version for row in restored.predictions.values()} == {"nnloop-v1"}
    assert restored.predictions[restored.new_task].score is not None


def test_the_next_training_starts_by_itself_and_reads_the_images_again(
    restored: Restored,
) -> None:
    assert restored.run.number == 2
    assert restored.n_cases == 7

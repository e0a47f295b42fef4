from __future__ import annotations

import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from backend.queue import JobInfo, JobName, JobState, WorkerInfo
from backend.store.models import FoldRow, ProblemRow, ProjectRow, RunRow, TaskRow
from domain.errors import StackError
from domain.states import FoldStatus, RunStatus, TaskState
from tests.needed import ON_POSTGRESQL
from tests.unit.backend.web.conftest import Service, ask_predict
from tests.unit.packaging.paths import ROOT

PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
HISTOGRAM = {"nnloop_predict_seconds"}


def scraped(service: Service) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric -> values of the labels in the order of their names -> value."""
    answer = service.client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        found[family.name] = {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for sample in family.samples
        }
    return found


def test_every_metric_is_documented_and_no_other(service: Service) -> None:
    documented = set(re.findall(r"`(nnloop_\w+)`", PAGE.split("## Metrics")[1]))
    assert set(scraped(service)) == documented


def test_figures_are_those_of_store_and_queue(service: Service) -> None:
    now = time.time()
    with service.store.begin() as session:
        session.add(ProjectRow(id=1, title="Patient Smith", synced_at=now - 100))
        session.add(ProjectRow(id=2, title="Other", error="Label Studio does not answer."))
        session.add(TaskRow(id=1, project_id=1, state=TaskState.LABELLED))
        session.add(TaskRow(id=2, project_id=1, state=TaskState.UNLABELLED))
        session.add(TaskRow(id=3, project_id=1, state=TaskState.UNLABELLED, removed_at=now))
        run = RunRow(project_id=1, number=3, status=RunStatus.TRAINING)
        session.add_all([run, RunRow(project_id=1, number=2, status=RunStatus.FAILED)])
        session.flush()
        session.query(RunRow).filter_by(number=2).one().finished_at = now
        fold = FoldRow(run_id=run.id, fold=1, status=FoldStatus.RUNNING, epoch=4, epochs=9)
        session.add(fold)
        session.add(ProblemRow(project_id=1, stage="sync", reason="x", message="Smith"))
    service.queue.listed = [
        JobInfo("sync-1", JobName.SYNC, (1,), JobState.WAITING, now - 50, ""),
        JobInfo("sync-2", JobName.SYNC, (2,), JobState.FAILED, now, "", "OSError"),
    ]
    found = scraped(service)
    assert 99 < found["nnloop_sync_age_seconds"]["1",] < 160
    assert found["nnloop_project_up"] == {("1",): 1, ("2",): 0}
    assert found["nnloop_tasks"] == {("1", "labelled"): 1, ("1", "unlabelled"): 1}
    assert found["nnloop_runs_active"] == {("1", "training"): 1}
    assert found["nnloop_runs_ended"] == {("1", "failed"): 1}
    assert found["nnloop_fold_epoch"] == {("1", "1", "3"): 4}
    assert found["nnloop_fold_epochs"] == {("1", "1", "3"): 9}
    assert found["nnloop_problems"] == {("1", "sync"): 1}
    assert found["nnloop_jobs"]["waiting",] == found["nnloop_jobs"]["failed",] == 1
    assert 49 < found["nnloop_queue_age_seconds"][()] < 110
    assert found["nnloop_disk_free_bytes"][()] > 0
    assert "Smith" not in service.client.get("/metrics").text


def test_gpus_are_those_of_the_workers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = [
        WorkerInfo("a", ("nnloop-train",), "", "cuda:0", 1000),
        WorkerInfo("b", ("nnloop-train",), "", "cuda:0", 1000),
        WorkerInfo("c", ("nnloop-loop",), "", "cpu"),
    ]
    monkeypatch.setattr(service.queue, "workers", lambda: workers)
    found = scraped(service)
    assert found["nnloop_worker_devices"] == {("cuda:0",): 2, ("cpu",): 1}
    assert found["nnloop_gpu_memory_bytes"] == {("cuda:0",): 1000 * 2**20}
    assert found["nnloop_workers"]["nnloop-train",] == 2


def test_a_redis_that_is_away_is_a_figure(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> list[JobInfo]:
        raise StackError("Redis does not answer.")

    monkeypatch.setattr(service.queue, "jobs", away)
    assert scraped(service)["nnloop_redis_up"] == {(): 0}


def test_answers_to_predict_are_counted(service: Service) -> None:
    service.connect(1)
    before = scraped(service)["nnloop_predict_seconds"]
    service.client.post("/predict", json=ask_predict(1, 1))
    after = scraped(service)["nnloop_predict_seconds"]
    assert max(after.values()) == max(before.values()) + 1


def test_a_scrape_holds_up_no_writer(service: Service) -> None:
    begun: list[str] = []
    event.listen(
        service.store.engine,
        "before_cursor_execute",
        lambda c, cursor, statement, *rest: begun.append(statement),
    )
    scraped(service)
    reads, waits = ("READ ONLY", "pg_advisory") if ON_POSTGRESQL else ("BEGIN", "BEGIN IMMEDIATE")
    assert any(statement.endswith(reads) for statement in begun)
    assert not any(waits in statement for statement in begun)

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, StatementError

from backend.pipeline.models.details import version_details
from backend.pipeline.runs.run_report import run_reports
from backend.store.models import FoldRow, ProjectRow, RunRow
from backend.store.training import runs
from domain.annotation import AnnotatedTask, LeftOut
from domain.case import Manifest, ManifestEntry
from domain.errors import DocumentError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest


def _set(app: FakeApp, column: str, value: object) -> None:
    table, name = column.split(".")
    with app.store.begin() as session:
        session.execute(text(f"UPDATE {table} SET {name} = :v"), {"v": json.dumps(value)})


def test_documents_come_back_as_they_were(app: FakeApp) -> None:
    entry = ManifestEntry("task_1", 1, 9, "hash", "g", 0, (8, 9))
    left_out = LeftOut(2, "skipped", "Task 2 was skipped.", remedy="Label it.")
    manifest = run_manifest(Manifest((entry,), (left_out,), ("lumen",), 2))
    result = fold_result({"task_1": {"lumen": 0.5, "wall": None}}, stopped="plateau")
    found = {1: AnnotatedTask(9, "hash", "source")}
    run_id = app.add_run(RunStatus.TRAINING, 1, manifest=manifest, candidates=found)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, result=result))
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        assert (run.manifest, run.candidates) == (manifest, found)
        assert runs.folds_of(session, run_id)[0].result == result
        assert runs.sizes_of(session, [run_id]) == {run_id: (1, 1)}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("fold_result.result", {"seconds": 1}, "A stored FoldResult can't be read: fold: "),
        ("training_run.settings", {"seed": "x"}, "A stored RunSettings .* seed: .*, got 'x'"),
    ],
)
def test_a_malformed_row_is_told_of_with_what_to_do(
    app: FakeApp, column: str, value: Any, message: str
) -> None:
    run_id = app.add_run(RunStatus.TRAINING, 1)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, result=fold_result()))
    _set(app, column, value)
    with pytest.raises(DocumentError, match=message) as caught, app.store.begin() as session:
        run_reports(session, PROJECT, 1)
    assert "release of nnloop that wrote it" in caught.value.remedy


@pytest.mark.parametrize("broken", ["null", "{", "", "[" * 100_000])
def test_what_is_no_json_is_told_of_as_well(app: FakeApp, broken: str) -> None:
    update = text("UPDATE project SET settings = :v")
    if app.store.engine.name == "postgresql" and broken != "null":
        with pytest.raises(DBAPIError), app.store.begin() as session:
            session.execute(update, {"v": broken})  # it takes none itself
        return
    with app.store.begin() as session:
        session.execute(update, {"v": broken})
    with pytest.raises(DocumentError, match="no JSON") as caught, app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT)
    assert "backup" in caught.value.remedy
    assert len(str(caught.value)) < 300


def test_a_version_of_another_form_is_refused(app: FakeApp) -> None:
    app.add_version(1, metrics={"labels": 3})
    _set(app, "model_version.metrics", {"labels": 3, "form": 2})
    with pytest.raises(DocumentError, match=r"A stored VersionMetrics .* form: .*, got 2"):
        version_details(app.context, "nnloop-v1", PROJECT)


def test_what_does_not_fit_is_not_written(app: FakeApp) -> None:
    with pytest.raises(StatementError, match="A stored RunManifest can't be read"):
        app.add_run(RunStatus.TRAINING, 1, manifest={"entries": []})

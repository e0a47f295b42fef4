"""Overlays of a project: labelled tasks as drawn, the others as the serving version predicts."""

from __future__ import annotations

from pathlib import Path

from backend.pipeline.files.export import ExportRequest, export_project
from backend.pipeline.sync.reading import read_project
from backend.store.models import PredictionRow, TaskRow
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon


def overlays(app: FakeApp, out: Path) -> tuple[set[str], tuple[str, ...]]:
    request = ExportRequest(format_by_name("overlays"), out, ExportOptions())
    report = export_project(app.context, PROJECT, request)
    return {path.stem for path in (out / "overlays").glob("*.png")}, report.remarks


def test_with_and_without_a_serving_version(app: FakeApp, tmp_path: Path) -> None:
    for task_id in (1, 2, 3):
        app.label_studio.add_task(task_id)
    app.label_studio.label(1, polygon())
    read_project(app.context, PROJECT)
    names, remarks = overlays(app, tmp_path / "before")
    assert len(names) == 1 and "No version serves yet" in remarks[0]
    version = app.add_version()
    with app.store.begin() as session:
        for task_id in (1, 2):
            session.add(
                PredictionRow(
                    project_id=PROJECT,
                    task_id=task_id,
                    version_id=version,
                    score=0.7,
                    result=[polygon(at=10)],
                    source=session.get_one(TaskRow, task_id).source,
                )
            )
    names, remarks = overlays(app, tmp_path / "after")
    assert len(names) == 2 and not remarks

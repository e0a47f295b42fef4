"""Another program's predictions: scored, shown, replaced, and retired by nnloop's first version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from backend.pipeline.files.import_ import import_to_project
from backend.pipeline.predictions.publish import publish
from backend.pipeline.quality.corrections import measure_corrections
from backend.pipeline.quality.submissions import measure_submissions
from backend.pipeline.sync.reading import sync_project
from backend.store.models import PredictionRow, TaskRow
from backend.store.quality.efforts import EffortRow
from backend.store.tasks import elsewhere
from converters.bookkeeping.files_report import FilesReport
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name
from converters.imports.run import ImportJob
from converters.imports.scores import read_scores
from converters.imports.source import ImportOptions
from converters.label_studio.beginnings import Beginning
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import SettingsError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.queues.filled import BEN, entries, fill, lab, now, of

__all__ = ["lab"]


class _Program:
    """Masks that another program wrote of the tasks of a project, and its scores."""

    def __init__(self, app: FakeApp, folder: Path, task_ids: range) -> None:
        self.app, self.folder = app, folder / "masks"
        self.folder.mkdir()
        for task_id in task_ids:
            self.write(task_id)
        self.scores: dict[int, float] | None = None

    def write(self, task_id: int, top: int = 10) -> None:
        mask = np.zeros((40, 48), dtype=np.uint8)
        mask[top:30, 10:30] = 1
        Image.fromarray(mask).save(self.folder / f"{task_id}.png")

    def run(self, version: str = "sam-2") -> FilesReport:
        table = None
        if self.scores is not None:
            path = self.folder.parent / "scores.csv"
            lines = [f"{task_id}.png,{value}" for task_id, value in self.scores.items()]
            path.write_text("\n".join(["image,score", *lines]))
            table = read_scores(path)
        job = ImportJob(
            format_by_name("masks"),
            self.folder,
            ImportOptions(("lumen", "wall")),
            parse_label_config(CONFIG),
            ImageFinder(None),
            "predictions",
            version,
            scores=table,
        )
        return import_to_project(self.app.context, PROJECT, job)

    @property
    def held(self) -> dict[str, dict[int, float | None]]:
        """Version -> task -> score, as Label Studio has them."""
        found: dict[str, dict[int, float | None]] = {}
        for row in self.app.label_studio.predictions:
            assert row.task_id not in found.setdefault(row.model_version, {}), "it is there twice"
            found[row.model_version][row.task_id] = row.score
        return found


@pytest.fixture
def program(lab: FakeApp, tmp_path: Path) -> _Program:
    return _Program(lab, tmp_path, range(1, 41))


def test_a_prediction_always_has_a_score_and_what_is_not_known_is_said(program: _Program) -> None:
    program.scores = {task_id: task_id / 100 for task_id in range(1, 40)}
    report = program.run()
    assert program.held == {"sam-2": {**program.scores, 40: 0.5}}
    assert report.noted == {"no_score": 1}
    assert "'40.png'" in report.noted_examples[0].message
    assert program.app.label_studio.info.model_version == "sam-2"


def test_a_second_import_changes_only_what_has_changed(program: _Program) -> None:
    assert program.run().deeds == {"added": 40}
    first = {row.id for row in program.app.label_studio.predictions}
    assert program.run().deeds == {"unchanged": 40}
    program.write(7, top=20)
    assert program.run().deeds == {"replaced": 1, "unchanged": 39}
    assert len(program.held["sam-2"]) == 40
    program.scores = {7: 0.25}
    assert program.run().deeds == {"replaced": 1, "unchanged": 39}
    assert program.held["sam-2"][7] == 0.25
    assert len(first & {row.id for row in program.app.label_studio.predictions}) == 39


def test_under_a_new_name_the_former_go_and_can_come_back(program: _Program) -> None:
    program.run("sam-2")
    program.run("sam-3")
    assert [*program.held] == ["sam-3"]
    assert program.app.label_studio.info.model_version == "sam-3"
    # What the index knows as done was taken out since.
    assert program.run("sam-2").deeds == {"added": 40} and [*program.held] == ["sam-2"]


def test_what_a_new_one_has_not_seen_keeps_the_former(program: _Program) -> None:
    program.run("sam-2")
    for task_id in range(11, 41):
        (program.folder / f"{task_id}.png").unlink()
    report = program.run("sam-3")
    assert set(program.held["sam-3"]) == set(range(1, 11))
    assert set(program.held["sam-2"]) == set(range(11, 41))
    assert any(remark.startswith("30 tasks keep") for remark in report.remarks)


@pytest.mark.parametrize("name", ["nnloop-v1", "nnloop-e12", "foreign", "", "x" * 65])
def test_it_never_passes_for_a_version_of_nnloops(program: _Program, name: str) -> None:
    program.app.add_imported("foreign")
    with pytest.raises(SettingsError, match="model-version"):
        program.run(name)
    assert program.app.label_studio.predictions == []


def test_the_queue_goes_by_its_scores_until_there_is_a_version(program: _Program) -> None:
    lab = program.app
    fill(lab)
    assert "lowest_score" not in {e.strategy for e in entries(lab)}
    program.scores = {task_id: 1 - task_id / 100 for task_id in range(1, 41)}
    program.run()
    fill(lab)
    assert {e.strategy for e in entries(lab) if e.left_at is None} >= {"lowest_score"}
    drawn = {*of(lab, "Anna"), *of(lab, "Ben")}
    # The first of each queue may be open at somebody's and stay.
    assert len(drawn & set(range(1, 41))) >= 34 and {40, 39, 38} <= drawn
    assert fill(lab) == []


def test_scores_that_nobody_said_order_nothing(program: _Program) -> None:
    fill(program.app)
    before = of(program.app, "Anna"), of(program.app, "Ben")
    program.run()
    fill(program.app)
    assert (of(program.app, "Anna"), of(program.app, "Ben")) == before


def test_the_score_of_a_task_whose_image_is_another_now_is_dead(program: _Program) -> None:
    program.scores = dict.fromkeys(range(1, 41), 0.1)
    program.run()
    studio = program.app.label_studio
    studio.now = "2026-02-02T00:00:00.000000Z"
    studio.predictions = [row for row in studio.predictions if row.task_id != 5]
    studio.add_task(5)  # its id was given to a new one
    sync_project(program.app.context, PROJECT)
    with program.app.store.begin() as session:
        assert set(elsewhere.scores(session, PROJECT)) == set(range(1, 41)) - {5}
    assert program.run().deeds == {"added": 1, "unchanged": 39}


def test_nnloops_first_version_retires_them(program: _Program) -> None:
    program.run()
    lab = program.app
    version = lab.add_version()
    with lab.store.begin() as session:
        for task in session.scalars(select(TaskRow).where(TaskRow.state == "unlabelled")).all():
            row = PredictionRow(project_id=PROJECT, task_id=task.id, version_id=version, score=0.3)
            row.source, row.result = task.source, [polygon()]
            session.add(row)
    publish(lab.context, PROJECT)
    assert [*program.held] == ["nnloop-v1"]
    assert lab.label_studio.info.model_version == "nnloop-v1"
    with lab.store.begin() as session:
        assert elsewhere.versions_of(session, PROJECT) == {}
    # Beside a version that serves they stay, and don't take its place.
    report = program.run()
    publish(lab.context, PROJECT)
    assert {*program.held} == {"nnloop-v1", "sam-2"}
    assert lab.label_studio.info.model_version == "nnloop-v1"
    assert any("nnloop-v1 serves this project" in remark for remark in report.remarks)


def test_its_corrections_are_no_honest_pairs_and_no_effort_on_ours(program: _Program) -> None:
    program.run()
    lab = program.app
    (row,) = lab.label_studio.task_predictions(3)
    regions = [{**region, "origin": "prediction"} for region in row.result]
    lab.label_studio.label(3, *regions, by=BEN.id, at=now(), parent_prediction=row.id)
    sync_project(lab.context, PROJECT)
    assert measure_corrections(lab.context, PROJECT) == 0
    measure_submissions(lab.context, PROJECT)
    with lab.store.begin() as session:
        (effort,) = session.scalars(select(EffortRow).where(EffortRow.task_id == 3))
        assert (effort.beginning, effort.version_id) == (Beginning.OTHER, None)


def test_what_an_older_project_of_this_id_held_retires_nothing(program: _Program) -> None:
    program.run()
    lab = program.app
    lab.label_studio.now = "2026-02-02T00:00:00.000000Z"
    for task_id in range(1, 103):
        lab.label_studio.add_task(task_id)
    sync_project(lab.context, PROJECT)
    version = lab.add_version()
    with lab.store.begin() as session:
        for task in session.scalars(select(TaskRow)).all():
            row = PredictionRow(project_id=PROJECT, task_id=task.id, version_id=version, score=0.3)
            row.source, row.result = task.source, [polygon()]
            session.add(row)
    publish(lab.context, PROJECT)
    assert lab.label_studio.info.model_version == "nnloop-v1"
    assert "sam-2" in program.held  # another hand put it there, under the same name

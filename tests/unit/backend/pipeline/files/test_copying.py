"""Tasks, annotations and predictions of one Label Studio in another."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.label_studio import User
from backend.pipeline.files.attach import TaskChoice
from backend.pipeline.files.import_ import import_to_project
from converters.bookkeeping.files_report import FilesReport
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name
from converters.imports.run import ImportJob
from converters.imports.source import ImportOptions
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import FileFormatError, LabelStudioError, SettingsError
from tests import golden
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, png, polygon

SAVED = json.loads(Path(golden.__file__).with_name("saved_unchanged.json").read_text())

BRUSH = {**polygon(), "id": "b", "type": "brushlabels", "from_name": "brush"}
BRUSH["value"] = {"format": "rle", "rle": [0, 1], "brushlabels": ["lumen"]}


def annotation(number: int, *result: dict[str, Any], by: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "completed_by": by, "result": list(result), **more}


class _Other:
    """An export of another Label Studio, and the images of its uploads."""

    def __init__(self, app: FakeApp, folder: Path) -> None:
        self.app, self.folder, self.file = app, folder / "images", folder / "export.json"
        self.folder.mkdir()
        self.rows: list[dict[str, Any]] = []

    def add(self, number: int, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A task of an upload, as the JSON export has it."""
        pixels = np.random.default_rng(number).integers(0, 255, (40, 48), dtype=np.uint8)
        (self.folder / f"x{number}.png").write_bytes(png(pixels))
        data = {"image": f"/data/upload/7/0a1b2c3d-x{number}.png", "patient": f"P{number}"}
        row = {"id": number, "data": data, "annotations": list(annotations), "drafts": [], **more}
        self.rows.append(row)
        return row

    def run(
        self,
        choice: TaskChoice | None = None,
        *,
        has_images: bool = True,
        as_: Any = "annotations",
        form: str = CONFIG,
        **mapping: str,
    ) -> FilesReport:
        self.file.write_text(json.dumps(self.rows))
        config = parse_label_config(form)
        job = ImportJob(
            format_by_name("labelstudio"),
            self.file,
            ImportOptions(image_key=config.image_key),
            config,
            ImageFinder(self.folder if has_images else None),
            as_,
            mapping=mapping,
        )
        return import_to_project(self.app.context, PROJECT, job, choice)

    def results(self, task_id: int) -> list[list[dict[str, Any]]]:
        return [a.result for a in self.app.label_studio.tasks[task_id].annotations]


@pytest.fixture
def other(app: FakeApp, tmp_path: Path) -> _Other:
    return _Other(app, tmp_path)


def test_everything_of_a_task_comes_once(other: _Other) -> None:
    region = {**polygon(), "meta": {"text": ["a note"]}, "origin": "prediction-changed"}
    other.add(
        12,
        annotation(4, region, by=1, ground_truth=True, lead_time=12.5),
        annotation(5, polygon("wall"), by=9),
        annotation(6, by=9),
        annotation(7, by=9, was_cancelled=True),
        predictions=[
            {"result": [polygon()], "model_version": "sam-1", "score": 0.25},
            {"result": [polygon()], "model_version": "nnloop-v3", "score": 0.75},
            {"result": [{**polygon(), "score": 0.4}], "model_version": "nnloop-v3", "score": None},
        ],
        drafts=[{"result": []}],
    )
    report = other.run()
    assert report.deeds == {"made": 1}
    (task,) = other.app.label_studio.tasks.values()
    assert task.data["patient"] == "P12" and task.data["image"].endswith("-x12.png")
    assert "/7/" not in task.data["image"]
    first, second, third, fourth = task.annotations
    assert first.result == [region] and (first.ground_truth, first.lead_time_s) == (True, 12.5)
    assert second.result == [polygon("wall")] and third.result == [] == fourth.result
    assert [a.was_cancelled for a in task.annotations] == [False, False, False, True]
    held = [(p.model_version, p.score) for p in other.app.label_studio.predictions]
    assert sorted(held) == [("nnloop-v3-elsewhere", 0.4), ("sam-1", 0.25)]
    said = " ".join(report.remarks)
    assert "2 people (1, 9 on the other server)" in said and "'nnloop-v3-elsewhere'" in said
    assert report.left_out == {"draft": 1}
    # Twice adds nothing twice, also where the index is lost.
    assert other.run().deeds == {"unchanged": 1}
    for file in (other.app.context.settings.data_dir / "imports").rglob("*.sqlite"):
        file.unlink()
    assert other.run().deeds == {"added": 1}
    (again,) = other.app.label_studio.tasks.values()
    assert again.annotations == task.annotations
    assert len(other.app.label_studio.predictions) == 2


def test_whose_an_annotation_is_stays_where_their_address_is_known_here(other: _Other) -> None:
    """By the e-mail address alone: an id of the other server may be anybody's here."""
    other.app.label_studio.users = [User(3, "Ada@lab.org"), User(9, "bob@lab.org")]
    row = other.add(1, annotation(4, polygon()), annotation(5, polygon("wall"), by=9))
    row["annotations"][0]["completed_by"] = {"id": 9, "email": "ada@LAB.org"}
    row["annotations"].append(annotation(6, by=2))
    row["annotations"][2]["completed_by"] = {"id": 3, "email": "eve@elsewhere.org"}
    report = other.run()
    (task,) = other.app.label_studio.tasks.values()
    assert [a.completed_by for a in task.annotations] == [3, None, None]
    said = " ".join(report.remarks)
    assert "of 2 people (9, eve@elsewhere.org on the other server) are now of the key" in said
    assert other.run().deeds == {"unchanged": 1}


def test_where_users_can_not_be_listed_nobody_is_guessed(
    other: _Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> list[User]:
        raise LabelStudioError("No.")

    monkeypatch.setattr(other.app.label_studio, "list_users", refused)
    row = other.add(1, annotation(4, polygon()))
    row["annotations"][0]["completed_by"] = {"id": 1, "email": "ada@lab.org"}
    assert other.run().deeds == {"made": 1}
    (task,) = other.app.label_studio.tasks.values()
    assert [a.completed_by for a in task.annotations] == [None]


def test_a_newer_export_brings_what_is_new_and_what_a_person_changed_stays(other: _Other) -> None:
    studio = other.app.label_studio
    for number in (1, 2, 3, 4):
        other.add(number, annotation(number * 10, polygon()))
    other.run()
    first, second, _, _ = [studio.tasks[i].annotations[0].id for i in (1, 2, 3, 4)]
    studio.update_annotation(first, [polygon(at=5)])  # a person here
    saved = [{**polygon(), "origin": "manual", "image_rotation": 0}]
    studio.update_annotation(second, saved)  # the editor: nobody has drawn anything
    studio.unlabel(3)
    for row in other.rows:
        row["annotations"][0]["result"] = [polygon("wall")]
    other.rows[3]["annotations"].append(annotation(99, polygon(at=1), by=2))
    other.add(5, annotation(50, polygon()))
    report = other.run()
    assert report.deeds == {"made": 1, "replaced": 2, "edited": 2}
    assert other.results(1) == [[polygon(at=5)]] and other.results(2) == [[polygon("wall")]]
    assert other.results(3) == []
    assert other.results(4) == [[polygon("wall")], [polygon(at=1)]]
    assert report.left_out == {"edited": 2}
    assert other.run().deeds["unchanged"] == 5


@pytest.mark.parametrize("kind", sorted(SAVED))
def test_what_the_editor_saved_unchanged_is_no_edit(other: _Other, kind: str) -> None:
    """``saved_unchanged.json``: imported by the API, opened in a real editor and saved there."""
    pair = SAVED[kind]
    other.add(1, annotation(1, *pair["imported"]))
    other.run(form=pair["form"])
    studio = other.app.label_studio
    studio.update_annotation(studio.tasks[1].annotations[0].id, pair["saved"])
    other.rows[0]["annotations"][0]["result"] = pair["imported"][: len(pair["imported"]) // 2]
    assert other.run(form=pair["form"]).deeds == {"replaced": 1}
    assert other.results(1) == [pair["imported"][: len(pair["imported"]) // 2]]


def test_what_the_project_has_no_place_for_is_told_and_nothing_becomes_empty(
    other: _Other,
) -> None:
    choice = {
        "type": "choices",
        "from_name": "quality",
        "to_name": "image",
        "value": {"choices": ["ok"]},
    }
    about = {**polygon(), "type": "textarea", "from_name": "note", "value": {"text": ["x"]}}
    link = {"type": "relation", "from_id": "b", "to_id": polygon()["id"], "direction": "right"}
    other.add(1, annotation(1, polygon(), BRUSH, choice, about, link))
    other.add(2, annotation(2, BRUSH), annotation(3, polygon()))
    other.add(3, annotation(4, BRUSH))
    report = other.run()
    assert other.results(1) == [[polygon()]]
    assert other.results(2) == [[polygon()]]
    assert other.results(3) == []
    assert report.left_out == {"no_control": 5, "regions_lost": 2}
    assert "brushlabels" in "".join(note.message for note in report.examples)


def test_a_class_of_another_name_is_refused_or_mapped(other: _Other) -> None:
    other.add(1, annotation(1, polygon("plaque"), polygon("wall")))
    with pytest.raises(SettingsError, match="plaque"):
        other.run()
    assert other.app.label_studio.tasks == {}
    other.run(plaque="lumen")
    assert [r["value"]["polygonlabels"] for r in other.results(1)[0]] == [["lumen"], ["wall"]]
    other.run(plaque="")
    assert [r["value"]["polygonlabels"] for r in other.results(1)[0]] == [["wall"]]


def test_another_control_of_the_kind_takes_a_region(other: _Other) -> None:
    form = CONFIG.replace('name="label"', 'name="shape"').replace('"image" value', '"scan" value')
    form = form.replace('toName="image"', 'toName="scan"')
    other.app.label_studio.info = replace(other.app.label_studio.info, label_config=form)
    other.add(1, annotation(1, polygon()))
    other.run(form=form)
    ((region,),) = other.results(1)
    assert region == {**polygon(), "from_name": "shape", "to_name": "scan"}


def test_images_at_addresses_need_no_file_and_uploads_do(other: _Other) -> None:
    row = other.add(1, annotation(1, polygon()))
    row["data"] = {"scan": "s3://bucket/a#1.png", "site": "B"}
    other.add(2, annotation(2, polygon()))
    report = other.run(has_images=False)
    (task,) = other.app.label_studio.tasks.values()
    assert task.data == {"image": "s3://bucket/a#1.png", "site": "B"}
    assert report.left_out == {"image_missing": 1}
    assert "--images" in report.examples[0].message
    assert other.run().deeds == {"made": 1, "unchanged": 1}


def test_a_task_with_an_annotation_of_its_own_is_left_alone(other: _Other) -> None:
    studio = other.app.label_studio
    row = other.add(1, annotation(1, polygon()))
    row["predictions"] = [{"result": [polygon()], "model_version": "sam", "score": 0.5}]
    studio.import_images(PROJECT, [("x1.png", (other.folder / "x1.png").read_bytes())])
    studio.label(1, polygon("wall"))
    report = other.run()
    assert other.results(1) == [[polygon("wall")]] and report.left_out == {"labelled": 1}
    assert [p.model_version for p in studio.predictions] == ["sam"]
    assert studio.tasks[1].data["patient"] == "P1"
    other.rows[0]["data"]["more"] = "new"
    other.run(TaskChoice(again=True))
    assert other.results(1) == [[polygon("wall")], [polygon()]]
    assert studio.tasks[1].data["more"] == "new"


def test_an_id_that_another_task_has_by_now_is_another_task(other: _Other) -> None:
    other.add(1, annotation(1, polygon()))
    other.run()
    other.rows.clear()
    row = other.add(2, annotation(1, polygon("wall")))
    row["id"] = 1
    assert other.run().deeds == {"made": 1}
    assert other.results(1) == [[polygon()]] and other.results(2) == [[polygon("wall")]]
    # And here: the task of an earlier import is gone, and its id is that of a new one, which
    # happens to have the same image.
    studio = other.app.label_studio
    studio.now = "2026-02-02T00:00:00.000000Z"
    studio.add_task(2)
    assert other.run().deeds == {"added": 1}
    assert other.results(2) == [[polygon("wall")]] and len(studio.tasks) == 2


def test_predictions_of_which_the_export_has_the_id_alone_are_named(other: _Other) -> None:
    other.add(1, annotation(1, polygon()))["predictions"] = [7, 8]
    assert other.run().left_out == {"prediction_ids": 1}
    other.rows[0]["predictions"] = [{"result": [polygon()], "model_version": "sam", "score": 0.5}]
    report = other.run()
    assert (report.left_out, len(other.app.label_studio.predictions)) == ({}, 1)
    assert len(other.results(1)) == 1


def test_predictions_alone(other: _Other) -> None:
    row = other.add(1, annotation(1, polygon()))
    row["predictions"] = [{"result": [polygon()], "score": 0.5}]
    other.run(as_="predictions")
    assert other.results(1) == []
    assert [p.model_version for p in other.app.label_studio.predictions] == ["imported"]


def test_an_empty_export_and_one_cut_short(other: _Other) -> None:
    report = other.run()
    assert (report.done, report.left_out) == (0, {})
    job_file = other.file
    other.add(1, annotation(1, polygon()))
    other.run()
    job_file.write_text(job_file.read_text()[:-20])
    other.rows = json.loads("[]")
    with pytest.raises(FileFormatError):
        list(format_by_name("label-studio").entries(_cut(job_file), ImportOptions()))


def _cut(path: Path) -> Path:
    path.write_text('[{"id": 1, "data": {"image": "/data/upload/1/a.png"')
    return path


def test_twenty_thousand_tasks_are_read_in_seconds(tmp_path: Path) -> None:
    rows = [
        {
            "id": i,
            "data": {"image": f"s3://bucket/{i}.png"},
            "annotations": [annotation(i, polygon())],
        }
        for i in range(20_000)
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(rows))
    began = time.process_time()
    n = sum(1 for _ in format_by_name("label-studio").entries(path, ImportOptions()))
    assert n == 20_000 and time.process_time() - began < 20

"""What an import into a project does with the tasks that are there, and what it says of it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from backend.cli.files import print_report
from backend.pipeline.basis.context import AppContext
from backend.pipeline.files.attach import TaskChoice
from backend.pipeline.files.import_ import import_to_project
from backend.settings import Settings
from converters.bookkeeping.files_report import FilesReport
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name
from converters.imports.run import ImportJob
from converters.imports.source import ImportOptions
from converters.label_studio.config.label_config import parse_label_config
from tests.fakes.label_studio import CONFIG, FakeLabelStudio, png

NAMES = ("a.png", "b.png", "c.png")
NEW, AGAIN = TaskChoice(new=True), TaskChoice(again=True)


@dataclass
class _Context:
    """What an import needs of the process's context."""

    label_studio: FakeLabelStudio
    settings: Settings


class _World:
    """A project with the first image, and a COCO file of all of them."""

    def __init__(self, folder: Path) -> None:
        self.studio = FakeLabelStudio()
        self.images, self.source = folder / "images", folder / "coco.json"
        self.images.mkdir()
        for seed, name in enumerate(NAMES):
            pixels = np.random.default_rng(seed).integers(0, 255, (20, 30), dtype=np.uint8)
            (self.images / name).write_bytes(png(pixels))
        self.studio.import_images(1, [(NAMES[0], (self.images / NAMES[0]).read_bytes())])
        self._context = _Context(self.studio, Settings(data_dir=folder / "data"))
        self.write()

    def write(self, x: int = 5) -> None:
        ring = [x, 5, 15, 5, 15, 15, x, 15]
        rows = [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [ring]} for i in range(3)
        ]
        images = [
            {"id": i, "file_name": name, "width": 30, "height": 20} for i, name in enumerate(NAMES)
        ]
        value = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "lumen"}]}
        self.source.write_text(json.dumps(value))

    def run(
        self, choice: TaskChoice | None = None, *, has_images: bool = True, **mapping: str
    ) -> FilesReport:
        job = ImportJob(
            format_by_name("coco"),
            self.source,
            ImportOptions(),
            parse_label_config(CONFIG),
            ImageFinder(self.images if has_images else None),
            mapping=mapping,
        )
        return import_to_project(cast(AppContext, self._context), 1, job, choice)

    @property
    def annotations(self) -> dict[int, list[str]]:
        """The class of every annotation, by task."""
        return {
            task.id: [a.result[0]["value"]["polygonlabels"][0] for a in task.annotations]
            for task in self.studio.tasks.values()
        }


@pytest.fixture
def world(tmp_path: Path) -> _World:
    return _World(tmp_path)


def test_what_became_of_each_image_is_counted(
    world: _World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run().deeds == {"made": 2, "added": 1}
    assert world.annotations == {1: ["lumen"], 2: ["lumen"], 3: ["lumen"]}
    assert world.run().deeds == {"unchanged": 3}
    world.studio.update_annotation(world.studio.tasks[2].annotations[0].id, [])
    report = world.run(lumen="wall")
    assert report.deeds == {"replaced": 2, "edited": 1}
    assert world.studio.tasks[2].annotations[0].result == []
    print_report(report, "image", "project 1")
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(
        "3 images in project 1: 2 in place of what an earlier import wrote, 1 left as a person "
        "edited it."
    )
    assert json.loads(report.path.read_text())["deeds"] == {"replaced": 2, "edited": 1}


def test_new_makes_tasks_once_and_never_rewrites_what_was_imported(world: _World) -> None:
    world.run(TaskChoice())
    first = world.annotations
    report = world.run(NEW, lumen="wall")
    # The first image was added to a task of the project; the others have tasks of their own.
    assert (report.deeds, report.left_out) == ({"made": 1}, {"imported_before": 2})
    assert world.annotations == first | {4: ["wall"]}
    assert report.n_tasks_left_out == 2
    assert "delete the task" in report.examples[0].message
    for _ in range(2):
        again = world.run(NEW, lumen="wall")
        assert (again.deeds, again.left_out) == ({}, {"imported_before": 3})
        assert world.annotations == first | {4: ["wall"]}
    del world.studio.tasks[2]
    assert world.run(NEW, lumen="wall").deeds == {"made": 1}
    # Without --new the tasks that the import made are known still.
    assert world.run(lumen="lumen").deeds == {"replaced": 3 - 1, "unchanged": 1}


def test_new_makes_tasks_of_all_images_where_nothing_was_imported(world: _World) -> None:
    world.studio.label(1, {"value": {"polygonlabels": ["wall"]}})
    assert world.run(NEW).deeds == {"made": 3}
    assert world.annotations == {1: ["wall"], 2: ["lumen"], 3: ["lumen"], 4: ["lumen"]}
    assert world.run().deeds == {"unchanged": 3}


def test_new_goes_on_where_a_killed_run_stopped(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.studio, "annotate", killed)
        with pytest.raises(KeyboardInterrupt):
            world.run(NEW)
    assert len(world.studio.tasks) == 4
    assert world.run(NEW).deeds == {"made": 3}
    assert world.annotations == {1: [], 2: ["lumen"], 3: ["lumen"], 4: ["lumen"]}


def test_what_cannot_be_imported_now_stays_known(world: _World) -> None:
    world.run()
    kept = (world.images / "b.png").read_bytes()
    (world.images / "b.png").write_text("no image")
    report = world.run(lumen="wall")
    assert (report.deeds, report.left_out) == ({"replaced": 2}, {"not_an_image": 1})
    assert report.n_tasks_left_out == 1
    (world.images / "b.png").write_bytes(kept)
    assert world.run(lumen="wall").deeds == {"replaced": 1, "unchanged": 2}
    assert world.annotations == {1: ["wall"], 2: ["wall"], 3: ["wall"]}


def test_new_needs_the_files(world: _World) -> None:
    report = world.run(NEW, has_images=False)
    assert (report.done, report.left_out) == (0, {"image_missing": 3})
    assert "--new needs its file" in report.examples[0].message
    assert world.annotations == {1: []}


def test_a_task_with_an_annotation_is_left_alone_and_named(world: _World) -> None:
    world.studio.label(1, {"value": {"polygonlabels": ["wall"]}})
    report = world.run()
    assert (report.deeds, report.left_out) == ({"made": 2}, {"labelled": 1})
    assert world.run(AGAIN).deeds == {"added": 1, "unchanged": 2}
    assert world.annotations[1] == ["wall", "lumen"]


def test_an_import_of_before_tasks_were_told_apart_is_taken_for_one_that_made_them(
    world: _World,
) -> None:
    world.run()
    (index,) = (world.source.parent / "data" / "imports" / "1").glob("*.sqlite")
    with sqlite3.connect(index) as db:
        db.execute("UPDATE items SET record = json_remove(record, '$.made')")
    db.close()
    assert world.run(NEW).left_out == {"imported_before": 3}

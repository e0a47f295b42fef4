"""Exports of annotations of which not every pixel is known, and what an import makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.experiment_planning import verify_dataset_integrity as verifying
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from converters.bookkeeping.files import read_json
from converters.bookkeeping.files_report import FilesReport
from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.image_pixels import read_image
from converters.images.of_tasks import FolderImages
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name as import_format
from converters.imports.run import ImportJob, run_import_to_file
from converters.imports.source import ImportOptions
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import (
    SparseRules,
    choice_controls,
    with_sparse_labels,
)
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from converters.outlines.limits import Simplification
from domain.case import case_id_of_task
from domain.geometry import LabelMap
from domain.labels import LabelConfig
from tests.nnunet_threads import use_threads
from tests.unit.converters.exports.project import SIZE_HW, annotation, region, row, write_project

RULES = SparseRules("Ignore", "Rest", unlabelled_choice="part")
PLAIN = parse_label_config(
    """<View><Image name="image" value="$image"/>
    <PolygonLabels name="label" toName="image">
      <Label value="Ignore"/><Label value="lumen"/><Label value="Rest"/><Label value="wall"/>
    </PolygonLabels>
    <Choices name="rest" toName="image"><Choice value="part"/></Choices></View>"""
)
CONFIG = with_sparse_labels(PLAIN, RULES)  # lumen 1, wall 2, ignored 3
LUMEN = [[10, 10], [60, 10], [60, 80], [10, 80]]
OVER = [[40, 40], [90, 40], [90, 90], [40, 90]]
CORNER = [[0, 0], [20, 0], [20, 20], [0, 20]]
PART = {
    "id": "c",
    "from_name": "rest",
    "to_name": "image",
    "type": "choices",
    "value": {"choices": ["part"]},
}
ALL = [[-1, -1], [101, -1], [101, 101], [-1, 101]]
ROWS = [
    # Ignored by a label, over a class; and by the choice, with some background that is known.
    row(1, "label.png", annotation(1, region("lumen", LUMEN), region("Ignore", OVER, id="i"))),
    row(2, "choice.png", annotation(2, region("wall", LUMEN), region("Rest", CORNER), PART)),
    row(3, "known.png", annotation(3, region("wall", LUMEN))),
    row(4, "nothing.png", annotation(4, region("Ignore", ALL))),
    row(5, "later.png", predictions=[{"model_version": "v1", "result": [region("wall", OVER)]}]),
]


@dataclass(frozen=True)
class Done:
    report: FilesReport
    out: Path
    images: Path


def export(
    folder: Path,
    name: str,
    *,
    config: LabelConfig = CONFIG,
    options: ExportOptions | None = None,
    rows: list[dict[str, Any]] = ROWS,
) -> Done:
    path, images = write_project(folder, rows)
    job = ExportJob(
        format_by_name(name),
        config,
        options or ExportOptions(),
        FolderImages(images, ("image",)),
    )
    out = folder / name
    report = run_export(ExportFile(path, choices=choice_controls(config)), job, out)
    return Done(report, out, images)


def pixels(path: Path) -> Any:
    return read_image(path.read_bytes(), 0)


def truth(number: int, config: LabelConfig = CONFIG) -> LabelMap:
    (task,) = [task for task in tasks_from_export(ROWS) if task.id == number]
    return annotation_to_label_map(task.annotations[-1], config, SIZE_HW)[0]


def test_the_rows_are_what_they_are_said_to_be() -> None:
    assert [sorted(np.unique(truth(n)).tolist()) for n in (1, 2, 3, 4)] == [
        [0, 1, 3],
        [0, 2, 3],
        [0, 2],
        [3],
    ]


def test_nnunet_accepts_its_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = export(tmp_path, "nnunet")
    assert done.report.done == 3
    # Of which nothing is known is left out, with a reason.
    assert done.report.left_out == {"all_ignored": 1, "unlabelled": 1}
    described = read_json(done.out / "dataset.json")
    assert described["labels"] == {"background": 0, "lumen": 1, "wall": 2, "ignore": 3}
    manager = LabelManager(described["labels"], regions_class_order=None)
    assert (manager.ignore_label, manager.foreground_labels) == (3, [1, 2])
    assert manager.num_segmentation_heads == 3
    (done.out.parent / "Dataset001_x").symlink_to(done.out)
    use_threads(monkeypatch, verifying)
    verifying.verify_dataset_integrity(str(done.out.parent / "Dataset001_x"), num_processes=1)
    for number in (1, 2, 3):
        label_map = pixels(done.out / f"labelsTr/{case_id_of_task(number)}.png")
        np.testing.assert_array_equal(label_map, truth(number))


def test_a_class_that_is_called_ignore_is_kept_apart(tmp_path: Path) -> None:
    xml = PLAIN.xml.replace("wall", "ignore")
    config = with_sparse_labels(parse_label_config(xml), RULES)
    done = export(tmp_path, "nnunet", config=config, rows=ROWS[:1])
    labels = read_json(done.out / "dataset.json")["labels"]
    assert labels["ignore"] == 3 and sorted(labels.values()) == [0, 1, 2, 3]
    assert LabelManager(labels, regions_class_order=None).ignore_label == 3


@pytest.mark.parametrize("name", ["masks-png", "masks-npy", "nifti"])
def test_masks_name_the_integer(tmp_path: Path, name: str) -> None:
    done = export(tmp_path, name)
    classes = read_json(done.out / "classes.json")
    assert classes == {"background": 0, "lumen": 1, "wall": 2, "(ignored)": 3}


@pytest.mark.parametrize("name", ["coco", "yolo", "masks-per-class", "csv"])
def test_what_lies_under_such_a_label_goes(tmp_path: Path, name: str) -> None:
    """And of which nothing is known is no image with nothing in it."""
    rows = [
        row(1, "a.png", annotation(1, region("wall", LUMEN), region("Rest", OVER, id="i"))),
        row(2, "b.png", annotation(2, region("wall", LUMEN), region("Ignore", CORNER, id="i"))),
        ROWS[3],
    ]
    done = export(tmp_path, name, rows=rows)
    assert (done.report.done, done.report.left_out) == (2, {"all_ignored": 1})
    if name == "csv":
        return
    (cut, whole) = (
        annotation_to_label_map(tasks[0].annotations[0], CONFIG, SIZE_HW)[0]
        for tasks in ([*tasks_from_export([one])] for one in rows[:2])
    )
    expected = [cut, np.where(whole == 3, 0, whole)]
    source = {"coco": "annotations.json"}.get(name, ".")
    job = ImportJob(
        import_format("masks" if name == "masks-per-class" else name),
        done.out / source,
        ImportOptions(),
        CONFIG,
        ImageFinder(None if name == "yolo" else done.images),
        how=Simplification(tolerance_px=0),
    )
    run_import_to_file(job, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    by_name = {Path(task["data"]["image"]).stem: task for task in tasks}
    for stem, wanted in zip("ab", expected, strict=True):
        (read,) = tasks_from_export([{"id": 1, **by_name[stem]}])
        found = annotation_to_label_map(read.annotations[0], PLAIN, SIZE_HW)[0]
        # By the plain interface wall is the fourth label.
        assert np.count_nonzero(np.where(found == 4, 2, found) != wanted) <= 2, stem


@pytest.mark.parametrize("name", ["coco", "yolo", "masks-per-class", "csv"])
def test_formats_of_shapes_have_classes_alone(tmp_path: Path, name: str) -> None:
    for policy in ("latest", "union"):  # the shapes of one annotation, and outlines of a map
        folder = tmp_path / policy
        folder.mkdir()
        done = export(folder, name, options=ExportOptions(annotators=policy))
        # Whoever reads such a file takes the rest for background: that is said.
        said_so = any("ignored" in remark for remark in done.report.remarks)
        assert said_so == (name != "csv")
        texts = [p for p in done.out.rglob("*") if p.suffix in (".json", ".txt", ".csv", ".yaml")]
        for path in texts:
            if path.name != "report.json":
                said = path.read_text()
                assert "Ignore" not in said and "Rest" not in said, path
        folders = {path.name for path in done.out.iterdir() if path.is_dir()}
        assert not folders & {"Ignore", "Rest"}


def test_unlabelled_tasks_are_shown_as_predicted(tmp_path: Path) -> None:
    """What a prediction leaves empty is background, whatever people leave out."""
    config = with_sparse_labels(PLAIN, replace(RULES, unlabelled="ignore"))
    done = export(tmp_path, "overlays", config=config)
    shown = pixels(done.out / "overlays" / "later.png")[: SIZE_HW[0]]
    image = pixels(done.images / "later.png")
    corner = np.s_[:8, :8]  # away from the wall that is predicted
    np.testing.assert_array_equal(shown[corner], np.repeat(image[corner][:, :, None], 3, axis=2))
    # An annotation's pixels of which nothing is known are dark.
    known = pixels(done.out / "overlays" / "choice.png")[: SIZE_HW[0]]
    image = pixels(done.images / "choice.png")
    assert (known[-4:, -4:, 0] == image[-4:, -4:] // 2).all()
    assert (known[:2, :2, 0] == image[:2, :2]).all()  # background by its label


def test_a_changed_rule_writes_anew(tmp_path: Path) -> None:
    first = export(tmp_path, "masks-png")
    assert first.report.done == 3
    again = export(tmp_path, "masks-png")
    assert again.report.unchanged == 3
    config = with_sparse_labels(PLAIN, replace(RULES, unlabelled="ignore"))
    changed = export(tmp_path, "masks-png", config=config)
    assert (changed.report.done, changed.report.unchanged) == (3, 0)
    mask = pixels(changed.out / "masks" / "known.png")
    assert sorted(np.unique(mask).tolist()) == [2, 3]
    # Without any rule the labels are classes.
    plain = export(tmp_path, "masks-png", config=PLAIN)
    assert plain.report.done == 4
    assert "(ignored)" not in read_json(plain.out / "classes.json")


@pytest.mark.parametrize("name", ["nnunet", "masks-png", "masks-npy", "nifti"])
@pytest.mark.parametrize("ignore_label", ["Ignore", ""])
def test_an_import_of_it(tmp_path: Path, name: str, ignore_label: str) -> None:
    done = export(tmp_path, name)
    images = None if name == "nnunet" else done.images
    job = ImportJob(
        import_format("masks"),
        done.out / ("masks" if (done.out / "masks").is_dir() else ""),
        ImportOptions(ignore_label=ignore_label),
        CONFIG,
        ImageFinder(images),
        how=Simplification(tolerance_px=0),
    )
    imported = run_import_to_file(job, tmp_path / "tasks.json")
    assert imported.done == 3
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    found = {}
    for position, task in enumerate(tasks, start=1):
        (read,) = tasks_from_export([{"id": position, **task}])
        stem = Path(task["data"]["image"]).stem.removesuffix("_0000")
        found[stem] = annotation_to_label_map(read.annotations[0], CONFIG, SIZE_HW)[0]
    for number, stem in ((1, "label"), (2, "choice"), (3, "known")):
        expected = truth(number)
        if not ignore_label:  # nobody said which label it is: background, and a note says so
            expected[expected == 3] = 0
        np.testing.assert_array_equal(found.get(stem, found.get(case_id_of_task(number))), expected)
    noted = {**imported.left_out, **imported.noted}
    assert ("ignored_pixels" in noted) == (not ignore_label), noted

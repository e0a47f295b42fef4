from __future__ import annotations

import copy
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import FolderImages, NoImages
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.predicted import as_predicted
from domain.errors import FileFormatError, NnloopError, StackError
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.exports.project import (
    KEYHOLE,
    ROWS,
    SIZE_HW,
    annotation,
    region,
    row,
    run,
)


def _times(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.rglob("*.png")}


def test_a_second_run_touches_only_what_changed(tmp_path: Path) -> None:
    run(tmp_path, "masks-png")
    before = _times(tmp_path / "masks-png")
    report, _ = run(tmp_path, "masks-png")
    assert (report.done, report.unchanged) == (2, 2)
    assert _times(tmp_path / "masks-png") == before
    changed = copy.deepcopy(ROWS)
    changed[1]["annotations"][0]["result"] = [region("lumen", KEYHOLE)]
    report, out = run(tmp_path, "masks-png", rows=changed)
    assert (report.done, report.unchanged) == (2, 1)
    after = _times(out)
    assert after["left.png"] == before["left.png"]
    assert np.asarray(Image.open(out / "masks" / "empty.png")).any()


def test_a_changed_image_or_option_is_a_change(tmp_path: Path) -> None:
    run(tmp_path, "nnunet")
    os.utime(tmp_path / "images" / "left.png", ns=(0, 0))
    assert run(tmp_path, "nnunet")[0].unchanged == 1
    assert run(tmp_path, "nnunet", ExportOptions(annotators="union"))[0].unchanged == 0


def test_what_left_the_source_leaves_the_folder(tmp_path: Path) -> None:
    run(tmp_path, "nnunet")
    report, out = run(tmp_path, "nnunet", rows=ROWS[1:])
    assert (report.done, report.removed) == (1, 1)
    assert [p.name for p in (out / "labelsTr").iterdir()] == ["task_00000008.png"]
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == 1


@pytest.mark.parametrize("other", ["A.png", "a.jpg", "\u00e1.png"])
@pytest.mark.parametrize("name", ["masks-png", "yolo", "nifti", "overlays"])
def test_images_of_the_same_name_do_not_meet(tmp_path: Path, name: str, other: str) -> None:
    first = "a\u0301.png" if other == "\u00e1.png" else "a.png"  # one name in two Unicode forms
    rows = [row(1, first, annotation(1)), row(2, other, annotation(2))]
    for entry, image in zip(rows, (first, other), strict=True):
        entry["data"]["image"] = image
    report, out = run(tmp_path, name, rows=rows)
    top = {"masks-png": "masks", "yolo": "labels", "nifti": "labels", "overlays": "overlays"}[name]
    stems = {p.name.partition(".")[0] for p in (out / top).iterdir()}
    assert stems == {"a" if first == "a.png" else "\u00e1", "task_00000002"}
    assert report.noted == {"renamed_files": 1}
    (note,) = report.noted_examples
    assert note.message.startswith("Task 2: its image ")
    assert "is called like that of task 1 " in note.message


def test_a_name_that_is_taken_twice_stops_nothing(tmp_path: Path) -> None:
    names = ("task_00000003.png", "a.png", "a.jpg")
    rows = [row(i, name, annotation(i)) for i, name in enumerate(names, start=1)]
    for _ in range(2):
        report, out = run(tmp_path, "masks-png", rows=rows)
        assert report.done == 3
    masks = sorted(p.name for p in (out / "masks").iterdir())
    assert masks == ["a.png", "task_00000003.png", "task_00000003_2.png"]


def test_nothing_stale_stays_among_the_files(tmp_path: Path) -> None:
    _, out = run(tmp_path, "masks-per-class", rows=ROWS[:2])
    assert sorted(p.name for p in (out / "masks").iterdir()) == ["lumen", "wall"]
    renamed = parse_label_config(CONFIG.xml.replace('"wall"', '"rim"'))
    path = tmp_path / "export.json"
    path.write_text(path.read_text().replace('"wall"', '"rim"'))
    for _ in range(2):
        report = run_export(
            ExportFile(path),
            ExportJob(
                format_by_name("masks-per-class"),
                renamed,
                ExportOptions(),
                FolderImages(tmp_path / "images", ("image",)),
            ),
            out,
        )
        assert sorted(p.name for p in (out / "masks").iterdir()) == ["lumen", "rim"]
        assert report.remarks == ()


def test_files_of_others_among_the_files_are_named_and_stay(tmp_path: Path) -> None:
    _, out = run(tmp_path, "yolo", rows=ROWS[:2])
    for index in out.glob(".nnloop-index*"):
        index.unlink()  # the folder was copied without its hidden files
    report, _ = run(tmp_path, "yolo", rows=ROWS[:1])
    (remark,) = report.remarks
    assert "images/empty.png, labels/empty.txt." in remark
    assert (out / "labels" / "empty.txt").exists()
    for i in range(9):
        (out / "labels" / f"more{i}.txt").write_text("")
    (remark,) = run(tmp_path, "yolo", rows=ROWS[:1])[0].remarks
    assert "labels/more2.txt and 6 more." in remark


def test_a_task_that_comes_twice_counts_once(tmp_path: Path) -> None:
    report, _ = run(tmp_path, "masks-png", rows=[ROWS[0], ROWS[1], ROWS[0]])
    assert (report.done, report.left_out["duplicate_task"]) == (2, 1)


def test_another_format_does_not_mix_in(tmp_path: Path) -> None:
    _, out = run(tmp_path, "csv")
    with pytest.raises(FileFormatError, match="another command: export csv"):
        run_export(
            [],
            ExportJob(format_by_name("coco"), CONFIG, ExportOptions(), NoImages()),
            out,
        )


def test_a_folder_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "csv").write_text("a file in the way")
    with pytest.raises(StackError, match="can't be written"):
        run(tmp_path, "csv")


def test_exif_turned_images_are_measured_as_label_studio_shows_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((SIZE_HW[1], SIZE_HW[0]), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "left.png", exif=exif)
    rows = [row(7, "left.png", annotation(1, region("lumen", KEYHOLE)))]
    for name in ("coco", "nifti"):
        run(tmp_path, name, rows=rows)
    image = json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"][0]
    assert (image["height"], image["width"]) == SIZE_HW


def test_images_are_never_read_above_their_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros(SIZE_HW, dtype=np.uint8)).save(secret)
    (tmp_path / "images" / "deep").mkdir(parents=True)
    images = FolderImages(tmp_path / "images", ("image",))
    source = tmp_path / "export.json"
    for name in ("../secret.png", str(secret), "/data/local-files/?d=../secret.png", "a\0.png"):
        rows = [{"id": 1, "data": {"image": name}, "annotations": [annotation(1)]}]
        source.write_text(json.dumps(rows))
        (task,) = ExportFile(source).tasks()
        assert images.stamp(task) == ""


_KILLED = """
import os, sys, signal
from pathlib import Path
from converters.exports.masks import IndexMasks
from tests.unit.converters.exports.project import run
write, count = IndexMasks.write, 0
def killed(self, item):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, item)
IndexMasks.write = killed
rows = __import__("json").loads(Path(sys.argv[2]).read_text())
run(Path(sys.argv[1]), "masks-png", rows=rows)
"""


def test_a_killed_run_leaves_whole_files_and_is_taken_up(tmp_path: Path) -> None:
    rows = [row(i, f"i{i}.png", annotation(i, region("lumen", KEYHOLE))) for i in range(1, 7)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    arguments = [sys.executable, "-c", _KILLED, str(tmp_path), str(tmp_path / "rows.json")]
    assert subprocess.run(arguments, check=False).returncode == -9
    out = tmp_path / "masks-png"
    masks = sorted((out / "masks").iterdir())
    assert len(masks) == 3
    for path in masks:
        assert np.asarray(Image.open(path)).any()
    assert not (out / "classes.json").exists()
    report, _ = run(tmp_path, "masks-png", rows=rows)
    assert (report.done, report.unchanged) == (6, 3)
    assert (out / "classes.json").exists()


_MEASURED = """
import resource, sys
from pathlib import Path
from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import NoImages
from tests.unit.converters.configs import CONFIG
report = run_export(ExportFile(Path(sys.argv[1])),
                    ExportJob(format_by_name("csv"), CONFIG, ExportOptions(), NoImages()),
                    Path(sys.argv[2]))
print(report.done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_tasks(tmp_path: Path) -> None:
    ring = [[50 + 40 * np.cos(t), 50 + 40 * np.sin(t)] for t in np.linspace(0, 6, 1000)]
    one = json.dumps(row(1, "i.png", annotation(1, region("lumen", ring))))
    peaks = []
    for n in (20, 400):  # 1 MB and 18 MB
        path = tmp_path / f"{n}.json"
        with path.open("w") as file:
            for i in range(n):
                file.write(("," if i else "[") + one.replace('"id": 1,', f'"id": {i + 1},', 1))
            file.write("]")
        arguments = [sys.executable, "-c", _MEASURED, str(path), str(tmp_path / f"out{n}")]
        answer = subprocess.run(arguments, check=True, capture_output=True, text=True)
        done, peak = answer.stdout.split()
        assert int(done) == n
        peaks.append(int(peak))
    assert (tmp_path / "400.json").stat().st_size > 12_000_000
    assert peaks[1] - peaks[0] < 8_000  # kB


def test_bad_rows_are_left_out_with_their_place(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0])
    rows = [good, "5", '{"id": "x", "annotations": []}', '{"id": 3, "data": NaN}', good]
    rows[4] = good.replace('"id": 7', '"id": 70', 1)
    path = tmp_path / "export.json"
    path.write_text(f"[{','.join(rows)}]")
    report = run_export(
        ExportFile(path),
        ExportJob(format_by_name("masks-png"), CONFIG, ExportOptions(), NoImages()),
        tmp_path / "out",
    )
    assert (report.done, report.n_tasks_left_out) == (2, 3)
    said = " ".join(note.message for note in report.examples)
    for place in ("element 2 (byte", "element 3 (byte", "element 4 (byte"):
        assert place in said


def test_an_object_that_is_no_list_of_tasks_is_refused_before_it_fills_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "export.json"
    member = json.dumps("x" * 9_000_000)
    path.write_text("{" + ",".join(f'"{i}": {member}' for i in range(5)) + "}")
    with pytest.raises(FileFormatError, match="one object of more than 32 MB"):
        list(ExportFile(path))


_STRANGE: list[Any] = [
    None, True, -1, 0, 10**400, 1e308, -1e308, "", "x", "9" * 5000, [], {}, [[]], [None], {"a": 1},
    [[1, 2], [3]], [["a", "b"]], [[1e300, 1e300]] * 4, {"points": 3},
]  # fmt: skip


def _mutated(value: Any, rng: random.Random) -> Any:
    """The value with one random part replaced or removed."""
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return rng.choice(_STRANGE)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _mutated(value[key], rng)}
    at = rng.randrange(len(value))
    return [*value[:at], _mutated(value[at], rng), *value[at + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coco", "masks-png", "yolo", "csv", "predictions", "overlays"])
def test_fuzzed_exports_end_in_a_report_or_a_clear_error(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    run(tmp_path, name)  # makes the images
    images = FolderImages(tmp_path / "images", ("image",))
    path = tmp_path / "export.json"
    started, refused = time.monotonic(), 0
    for i in range(40):
        path.write_text(json.dumps(_mutated(ROWS, rng)))
        try:
            run_export(
                ExportFile(path),
                ExportJob(
                    format_by_name(name), CONFIG, ExportOptions(), images if i % 2 else NoImages()
                ),
                tmp_path / f"out{i % 5}",
            )
        except NnloopError as error:
            refused += 1
            assert str(error)
    assert refused < 40
    assert time.monotonic() - started < 60


def test_what_a_person_enlarged_lies_on_top_in_an_export_of_a_file(tmp_path: Path) -> None:
    def entry(region_id: str, label: str, right: float) -> dict[str, Any]:
        points: list[list[float]] = [[0, 0], [right, 0], [right, 100], [0, 100]]
        value = {"points": points, "polygonlabels": [label]}
        return region(label, points) | {
            "id": region_id,
            "origin": "prediction",
            "value": value,
        }

    pushed = as_predicted([entry("a", "lumen", 50), entry("b", "wall", 100)])
    held = [pushed[0] | {"value": entry("a", "lumen", 75)["value"]}, pushed[1]]
    # The same under another tool's ids: then the file's own predictions tell.
    plain = [entry("a", "lumen", 75), entry("b", "wall", 100)]
    rows = [
        row(1, "left.png", annotation(1, *held)),
        row(2, "empty.png", annotation(2, *plain))
        | {"predictions": [{"result": [entry("a", "lumen", 50), entry("b", "wall", 100)]}]},
        row(3, "empty.png", annotation(3, *plain)),
    ]
    _, out = run(tmp_path, "masks-png", rows=rows)
    shares = [
        (path.name, float((np.asarray(Image.open(path)) == 1).mean()))
        for path in sorted((out / "masks").iterdir())
    ]
    expected = 0.75
    assert shares == [("empty.png", expected), ("left.png", expected), ("task_00000003.png", 0.0)]


def test_the_size_is_that_of_the_first_page(tmp_path: Path) -> None:
    first, other = (region("lumen", [[0, 0], [50, 0], [50, 50], [0, 50]]) for _ in range(2))
    first |= {"id": "a", "item_index": 0, "original_height": "30", "original_width": "40"}
    other |= {"id": "b", "original_height": 9, "original_width": 8}
    for place in (other, other["value"]):
        page = {**other, "value": dict(other["value"])}
        (page if place is other else page["value"])["item_index"] = 1
        rows = [row(1, "p.png", annotation(1, first, page))]
        report, out = run(tmp_path, "masks-png", rows=rows, with_images=False)
        assert report.left_out == {"other_page": 1}
        mask = np.asarray(Image.open(out / "masks" / "p.png"))
        assert (mask.shape, int(mask.sum())) == ((30, 40), 300)


def test_a_file_without_origins_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(ROWS))
    assert not ExportFile(path).is_min()
    path.write_text(json.dumps([{"id": 1, "image": "a.png", "annotation_id": 3}]))
    assert ExportFile(path).is_min()
    path.write_text("no json")
    assert not ExportFile(path).is_min()

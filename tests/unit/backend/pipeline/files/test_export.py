"""One task never stops the others of an export, and images that are not there are named."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.pipeline.files.export import ExportRequest, export_file
from converters.exports.exporter import Format, Needs, Records, Written
from converters.exports.formats import format_by_name
from converters.exports.item import ExportItem
from converters.exports.options import ExportOptions
from domain.errors import StackError
from tests.unit.converters.exports.project import KEYHOLE, SIZE_HW, annotation, region, row

ROWS = [
    row(1, "a.png", annotation(1, region("lumen", KEYHOLE))),
    row(2, "gone.png", annotation(2, region("lumen", KEYHOLE))),
    row(3, "c.png", annotation(3, region("lumen", KEYHOLE))),
    row(4, "gone too.png", annotation(4)),
]
LINES = '<VectorLabels name="v" toName="image"><Label value="line"/></VectorLabels>'
LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/></PolygonLabels>{}</View>'
)


def _request(folder: Path, format_: Format, images: Path | None = None) -> tuple[Path, Any]:
    path, config = folder / "export.json", folder / "config.xml"
    path.write_text(json.dumps(ROWS))
    config.write_text(LABEL_CONFIG.format(""))
    out = folder / format_.name
    return path, ExportRequest(format_, out, ExportOptions(), images, config)


class Failing:
    """Writes nothing, and fails at one task."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def write(self, item: ExportItem) -> Written:
        if item.task.id == 2:
            raise self._error
        return Written()

    def finish(self, records: Records) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("a decoder's own words"), "unexpected"),
        (MemoryError(), "out_of_memory"),
        (OSError(errno.EACCES, "Permission denied", "/images/b.png"), "unexpected"),
        (RecursionError("too deep"), "unexpected"),
    ],
)
def test_whatever_goes_wrong_with_one_task_the_others_go_on(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    failing = Format("failing", "", Needs.SIZE, lambda *_: Failing(error))
    path, request = _request(tmp_path, failing)
    report = export_file(path, request)
    assert report.done == 2
    assert report.left_out == {reason: 1, "size_unknown": 1}
    assert report.examples[0].message.startswith("Task 2: ")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_folder_that_takes_no_file_ends_the_export(tmp_path: Path, code: int) -> None:
    error = OSError(code, "no room", str(tmp_path / "failing" / "masks" / "b.png"))
    path, request = _request(tmp_path, Format("failing", "", Needs.SIZE, lambda *_: Failing(error)))
    with pytest.raises(StackError, match="can't be written: no room"):
        export_file(path, request)


def _images(folder: Path) -> Path:
    images = folder / "images"
    images.mkdir()
    for name in ("a.png", "c.png"):
        Image.fromarray(np.zeros(SIZE_HW, dtype=np.uint8)).save(images / name)
    return images


@pytest.mark.parametrize(
    ("name", "n_done", "words"),
    [
        ("yolo", 3, "Its labels are written without it, for the 40 x 30 pixels"),
        ("nifti", 3, "Its labels are written without it, for the 40 x 30 pixels"),
        ("masks-png", 3, "Its size is not checked: its regions name 40 x 30 pixels."),
        ("masks-npy", 3, "Its size is not checked"),
        ("masks-per-class", 3, "Its size is not checked"),
        ("coco", 3, "Its size is not checked"),
        ("csv", 3, "Its size is not checked"),
        ("nnunet", 2, "its image 'gone.png' is not in"),
        ("overlays", 2, "its image 'gone.png' is not in"),
    ],
)
def test_images_that_are_not_in_the_folder_are_named(
    tmp_path: Path, name: str, n_done: int, words: str
) -> None:
    path, request = _request(tmp_path, format_by_name(name))
    assert export_file(path, request).left_out.get("image_missing", 0) in (0, 4)  # none was given
    path, request = _request(tmp_path, format_by_name(name), _images(tmp_path))
    for _ in range(2):
        report = export_file(path, request)
        assert (report.done, report.left_out) == (n_done, {"image_missing": 2})
        first, second = (note.message for note in report.examples)
        assert first.startswith("Task 2: its image 'gone.png' is not in ")
        assert words in first
        assert second.startswith("Task 4: its image 'gone too.png' is not in ")
        assert "--images" not in second  # it was given


@pytest.mark.parametrize(
    ("name", "control", "said"),
    [
        ("yolo", "", ["No images are written"]),
        (
            "yolo",
            '<VectorLabels name="v" toName="image"><Label value="line"/></VectorLabels>',
            None,
        ),
        ("masks-png", "", []),
        ("predictions", "", []),
    ],
)
def test_what_holds_for_every_task_is_said_once(
    tmp_path: Path, name: str, control: str, said: list[str] | None
) -> None:
    path, request = _request(tmp_path, format_by_name(name))
    (tmp_path / "config.xml").write_text(LABEL_CONFIG.format(control))
    starts = ["No images are written", "An open line is"] if said is None else said
    remarks = export_file(path, request).remarks
    assert len(remarks) == len(starts)
    assert all(map(str.startswith, remarks, starts))


def test_an_unlabelled_task_is_shown_as_predicted(tmp_path: Path) -> None:
    predicted = {"model_version": "nnloop-v2", "score": 0.81, "result": [region("lumen", KEYHOLE)]}
    rows = [
        row(1, "a.png", annotation(1, region("lumen", KEYHOLE))),
        {**row(2, "b.png"), "predictions": [predicted]},
        {**row(3, "c.png"), "predictions": [{**predicted, "result": []}]},
        row(4, "d.png"),
        # What a person has said, or not wanted to say, no model says for them.
        {**row(5, "e.png", annotation(5)), "predictions": [predicted]},
        {**row(6, "f.png", annotation(6, was_cancelled=True)), "predictions": [predicted]},
    ]
    images = tmp_path / "images"
    images.mkdir()
    for name in "abcdef":
        grey = np.full(SIZE_HW, 90, np.uint8)
        Image.fromarray(grey).save(images / f"{name}.png")
    path, request = _request(tmp_path, format_by_name("overlays"), images)
    path.write_text(json.dumps(rows))
    report = export_file(path, request)
    assert (report.done, report.left_out) == (4, {"unlabelled": 1, "skipped": 1})
    drawn = {p.stem: np.asarray(Image.open(p)) for p in request.out.rglob("*.png")}
    assert set(drawn) == {"a", "b", "c", "e"}
    height = SIZE_HW[0]
    np.testing.assert_array_equal(drawn["a"][:height], drawn["b"][:height])
    # Below stands who says it.
    assert drawn["b"].shape[0] > drawn["a"].shape[0] == drawn["e"].shape[0]
    for empty in "ce":
        assert (drawn[empty][:height] == 90).all()
    # The masks that are trained on stay those of people.
    path, request = _request(tmp_path, format_by_name("masks-png"), images)
    path.write_text(json.dumps(rows))
    assert export_file(path, request).done == 2

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from converters.coco_rle import decode_rle, encode_rle
from converters.exports.options import ExportOptions
from converters.label_studio import annotation_to_shapes
from converters.rasterize import shape_to_mask
from converters.tasks import tasks_from_export
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.exports.project import ROWS, SIZE_HW, region, row, run

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(mask=MASKS)
def test_rle_is_pycocotools_own(mask: npt.NDArray[np.bool_]) -> None:
    ours = encode_rle(mask)
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    assert (decode_rle(ours, (mask.shape[0], mask.shape[1])) == mask).all()


def test_long_runs_survive_rle() -> None:
    mask = np.zeros((3000, 2000), dtype=np.bool_)
    mask[700:2900, 5:1990] = True
    mask[1000, 1000] = False
    assert (decode_rle(encode_rle(mask), mask.shape) == mask).all()


@settings(deadline=None)
@given(counts=st.one_of(st.text(max_size=30), st.lists(st.integers(-5, 50), max_size=9), st.none()))
def test_foreign_rle_is_decoded_or_refused(counts: object) -> None:
    try:
        mask = decode_rle({"size": [4, 5], "counts": counts}, (4, 5))
    except ValueError as error:
        assert str(error)
    else:
        assert mask.shape == (4, 5)


def _load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_pycocotools_reads_equal_masks_of_every_annotator(tmp_path: Path) -> None:
    _, out = run(tmp_path, "coco")
    coco = _load(out / "annotations.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["lumen", "wall"]
    task = next(iter(tasks_from_export(ROWS)))
    wanted = [
        (a.id, a.completed_by, class_index, shape_to_mask(shape, SIZE_HW))
        for a in task.annotations
        for class_index, shape in annotation_to_shapes(a, CONFIG, SIZE_HW)[0]
    ]
    found = coco.loadAnns(coco.getAnnIds(imgIds=[7]))
    assert len(found) == len(wanted) == 3
    for entry, (annotation_id, person, class_index, mask) in zip(found, wanted, strict=True):
        assert (coco.annToMask(entry).astype(bool) == mask).all()
        assert entry["area"] == mask.sum()
        ids = (entry["annotation_id"], entry["annotator"], entry["category_id"])
        assert ids == (annotation_id, person, class_index)
        ys, xs = np.nonzero(mask)
        box = [xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()]
        assert entry["bbox"] == box
    # The hole needs an RLE, the triangles are polygons.
    assert [isinstance(entry["segmentation"], dict) for entry in found] == [True, False, False]
    assert coco.loadImgs([7])[0]["file_name"] == "left.png"
    assert coco.getAnnIds(imgIds=[8]) == []
    assert sorted(coco.getImgIds()) == [7, 8]


@settings(max_examples=30, deadline=None)
@given(
    points=st.lists(
        st.tuples(st.floats(-20, 120), st.floats(-20, 120)).map(list), min_size=3, max_size=9
    )
)
def test_any_polygon_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, points: list[list[float]]
) -> None:
    folder = tmp_path_factory.mktemp("coco")
    rows = [row(7, "a.png", {"id": 1, "result": [region("lumen", points)]})]
    _, out = run(folder, "coco", rows=rows)
    coco = _load(out / "annotations.json")
    (task,) = tasks_from_export(rows)
    masks = [
        shape_to_mask(shape, SIZE_HW)
        for _, shape in annotation_to_shapes(task.annotations[0], CONFIG, SIZE_HW)[0]
    ]
    found = coco.loadAnns(coco.getAnnIds())
    wanted = [mask for mask in masks if mask.any()]
    assert len(found) == len(wanted)
    for entry, mask in zip(found, wanted, strict=True):
        assert (coco.annToMask(entry).astype(bool) == mask).all()


def test_drawn_polygons_keep_their_points(tmp_path: Path) -> None:
    rows = [row(7, "a.png", {"id": 1, "result": [region("lumen", [[5, 5], [30, 6], [20, 50]])]})]
    _, out = run(tmp_path, "coco", ExportOptions(polygons="drawn"), rows=rows)
    (entry,) = json.loads((out / "annotations.json").read_text())["annotations"]
    assert entry["segmentation"] == [[2.0, 1.5, 12.0, 1.8, 8.0, 15.0]]

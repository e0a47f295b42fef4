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

from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions, PolygonStyle
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import NoImages
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_shapes
from converters.masks.coco_rle import decode_rle, encode_rle
from converters.painting.rasterize import shape_to_mask
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


def _names_of(tmp_path: Path, *images: str) -> list[str]:
    rows = [row(i, "x.png") | {"data": {"image": value}} for i, value in enumerate(images, start=1)]
    for entry in rows:
        entry["annotations"] = [{"id": entry["id"], "result": [region("lumen", SQUARE)]}]
    path = tmp_path / "names.json"
    path.write_text(json.dumps(rows))
    report = run_export(
        ExportFile(path),
        ExportJob(format_by_name("coco"), CONFIG, ExportOptions(), NoImages()),
        tmp_path / "c",
    )
    assert report.done == len(images)
    found = json.loads((tmp_path / "c" / "annotations.json").read_text())["images"]
    assert all(set(image) == {"id", "file_name", "width", "height"} for image in found)
    return [image["file_name"] for image in found]


SQUARE = [[10, 10], [60, 10], [60, 60], [10, 60]]


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (("/data/local-files/?d=a/1.png", "x/2.png"), ["1.png", "2.png"]),
        (
            ("/data/local-files/?d=d/a/1.png", "/data/local-files/?d=d/b/1.png", "d/2.png"),
            ["d/a/1.png", "d/b/1.png", "2.png"],
        ),
        (("a/1.png", "a/1.PNG"), ["a/1.png", "a/1.PNG"]),
        (("s3://one/d/1.png", "s3://two/d/1.png"), ["one/d/1.png", "two/d/1.png"]),
        (("http://h/a/1.png?t=1", "http://h/b/1.png"), ["a/1.png", "b/1.png"]),
        (
            ("/data/upload/3/0a1b2c3d-1.png", "/data/upload/3/1a1b2c3d-1.png"),
            ["data/upload/3/0a1b2c3d-1.png", "data/upload/3/1a1b2c3d-1.png"],
        ),
        (("e\u0301/1.png", "e/1.png"), ["\u00e9/1.png", "e/1.png"]),
    ],
)
def test_names_tell_images_apart(tmp_path: Path, images: tuple[str, ...], names: list[str]) -> None:
    assert _names_of(tmp_path, *images) == names


def test_tasks_of_one_image_have_an_entry_each(tmp_path: Path) -> None:
    rows = [row(i, name, {"id": i, "result": []}) for i, name in ((5, "a.png"), (6, "b.png"))]
    rows.append(rows[0] | {"id": 7})
    _, out = run(tmp_path, "coco", rows=rows)
    images = json.loads((out / "annotations.json").read_text())["images"]
    assert [(image["id"], image["file_name"], image.get("task_id")) for image in images] == [
        (5, "a.png", 5),
        (6, "b.png", None),
        (7, "a.png", 7),
    ]


@pytest.mark.parametrize(
    ("name", "lost"), [("coco", {}), ("yolo", {}), ("csv", {"hidden_region": 1})]
)
def test_a_hidden_region_is_lost_where_overlaps_are(
    tmp_path: Path, name: str, lost: dict[str, int]
) -> None:
    inner = [[20, 20], [50, 20], [50, 50], [20, 50]]
    result = [region("wall", inner, id="under"), region("lumen", SQUARE, id="over")]
    report, _ = run(tmp_path, name, rows=[row(7, "left.png", {"id": 1, "result": result})])
    assert (report.done, report.left_out) == (1, lost)


@pytest.mark.parametrize("polygons", ["exact", "drawn"])
@pytest.mark.parametrize("far", [150.0, 1e8])
def test_what_leaves_the_image_is_cut_at_the_border(
    tmp_path: Path, polygons: PolygonStyle, far: float
) -> None:
    triangle = region("lumen", [[50, 50], [far, 50], [50, far]])
    keyhole: list[list[float]] = [[-far, 10], [60, 10], [60, 80], [-far, 80], [-far, 10]]
    keyhole += [[20, 20], [20, 60], [40, 60], [40, 20], [20, 20]]
    rows = [row(7, "left.png", {"id": 1, "result": [triangle, region("wall", keyhole)]})]
    _, out = run(tmp_path, "coco", ExportOptions(polygons=polygons), rows=rows)
    (task,) = tasks_from_export(rows)
    shapes, _ = annotation_to_shapes(task.annotations[0], CONFIG, SIZE_HW)
    coco = _load(out / "annotations.json")
    for annotation, (_, shape) in zip(coco.dataset["annotations"], shapes, strict=True):
        mask = coco.annToMask(annotation).astype(bool)
        expected = shape_to_mask(shape, SIZE_HW)
        assert annotation["area"] == expected.sum()
        if polygons == "exact":
            assert (mask == expected).all()
        if isinstance(annotation["segmentation"], list):
            points = np.concatenate([np.reshape(p, (-1, 2)) for p in annotation["segmentation"]])
            assert points.min() >= 0
            assert (points.max(axis=0) <= SIZE_HW[::-1]).all()

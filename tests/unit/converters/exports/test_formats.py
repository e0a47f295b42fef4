from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813 - its own name for itself
import yaml
from PIL import Image

from converters.exports.file_source import ExportFile
from converters.exports.formats import FORMATS, format_by_name
from converters.exports.masks import class_folders
from converters.exports.options import ExportOptions, parse_spacing
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import FolderImages
from converters.imports.formats import format_by_name as import_format
from converters.imports.source import ImportedImage, ImportOptions
from converters.label_studio.config.label_config import parse_label_config
from converters.painting.rasterize import polygon_to_mask
from domain.annotation import Task
from domain.errors import ImageError, SettingsError
from domain.geometry import Polygon
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.exports.project import (
    KEYHOLE,
    ROWS,
    SIZE_HW,
    annotation,
    region,
    row,
    run,
    truth,
    write_project,
)


def _png(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"predictions"}))
def test_every_format_says_what_was_left_out(tmp_path: Path, name: str) -> None:
    report, out = run(tmp_path, name)
    assert (report.done, report.n_tasks_left_out) == (2, 3)
    reasons = {"skipped": 1, "unlabelled": 1, "unknown_label": 1}
    assert reasons.items() <= report.left_out.items()
    said = json.loads((out / "report.json").read_text())
    assert said["done"] == 2
    assert {r["task"] for r in said["left_out"] if r["whole"]} == {9, 10, 11}


def test_nnunet(tmp_path: Path) -> None:
    _, out = run(tmp_path, "nnunet")
    assert (_png(out / "labelsTr" / "task_00000007.png") == truth(7)).all()
    assert not _png(out / "labelsTr" / "task_00000008.png").any()
    image = _png(tmp_path / "images" / "left.png")
    assert (_png(out / "imagesTr" / "task_00000007_0000.png") == image).all()
    assert json.loads((out / "dataset.json").read_text()) == {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "lumen": 1, "wall": 2},
        "numTraining": 2,
        "file_ending": ".png",
    }


def test_nnunet_follows_a_colour_image_that_comes_and_goes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    color = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    Image.fromarray(color).save(tmp_path / "images" / "color.png")
    more = [*ROWS, row(12, "color.png", ROWS[1]["annotations"][0])]
    grey = tmp_path / "nnunet" / "imagesTr" / "task_00000007_0000.png"
    for rows, mode, n in ((ROWS, "L", 2), (more, "RGB", 3), (more, "RGB", 3), (ROWS, "L", 2)):
        _, out = run(tmp_path, "nnunet", rows=rows)
        with Image.open(grey) as image:
            assert image.mode == mode
        with Image.open(grey) as image:
            assert (np.asarray(image.convert("L")) == _png(tmp_path / "images" / "left.png")).all()
        data = json.loads((out / "dataset.json").read_text())
        assert (len(data["channel_names"]), data["numTraining"]) == ({"L": 1, "RGB": 3}[mode], n)


def test_index_masks(tmp_path: Path) -> None:
    _, png = run(tmp_path, "masks-png", with_images=False, rows=ROWS[:1])
    _, npy = run(tmp_path, "masks-npy", with_images=False, rows=ROWS[:1])
    assert (_png(png / "masks" / "left.png") == truth(7)).all()
    array = np.load(npy / "masks" / "left.npy")
    assert array.dtype == np.uint8
    assert (array == truth(7)).all()
    integers = {"background": 0, "lumen": 1, "wall": 2}
    assert json.loads((png / "classes.json").read_text()) == integers


def test_without_an_image_an_empty_annotation_has_no_size(tmp_path: Path) -> None:
    report, _ = run(tmp_path, "masks-png", with_images=False, rows=ROWS[:2])
    assert (report.done, report.left_out["size_unknown"]) == (1, 1)


def test_annotators_can_be_united(tmp_path: Path) -> None:
    _, out = run(tmp_path, "masks-png", ExportOptions(annotators="union"))
    either = (truth(7, 0) > 0) | (truth(7, 1) > 0)
    assert ((_png(out / "masks" / "left.png") > 0) == either).all()


def test_one_mask_per_class(tmp_path: Path) -> None:
    _, out = run(tmp_path, "masks-per-class")
    for index, name in enumerate(("lumen", "wall"), start=1):
        mask = _png(out / "masks" / name / "left.png")
        assert (mask == np.where(truth(7) == index, 255, 0)).all()
        assert not _png(out / "masks" / name / "empty.png").any()


def test_class_folders_are_distinct_and_safe() -> None:
    labels = "".join(f'<Label value="{v}"/>' for v in ("a/b", "A b", "..", "é.png", "a_b"))
    config = parse_label_config(
        f'<View><Image name="i" value="$i"/><PolygonLabels name="l" toName="i">{labels}'
        "</PolygonLabels></View>"
    )
    folders = list(class_folders(config).values())
    assert folders == ["a_b", "A_b_2", "class_3", "é.png", "a_b_5"]


def test_a_class_folder_made_distinct_meets_no_other_class() -> None:
    labels = "".join(f'<Label value="{v}"/>' for v in ("a_b_3", "a b", "a/b"))
    config = parse_label_config(
        f'<View><Image name="i" value="$i"/><PolygonLabels name="l" toName="i">{labels}'
        "</PolygonLabels></View>"
    )
    assert list(class_folders(config).values()) == ["a_b_3", "a_b", "a_b_3_3"]


def test_regions_of_several_sizes_are_named_as_the_reason(tmp_path: Path) -> None:
    first = region("lumen", [[10, 10], [60, 10], [60, 60]])
    second = first | {"id": "other", "original_width": 100, "original_height": 90}
    rows = [row(7, "left.png", annotation(11, first, second))]
    report, _ = run(tmp_path, "masks-png", with_images=False, rows=rows)
    assert "several sizes" in report.examples[0].message
    assert "100 x 90" in report.examples[0].message


@pytest.mark.parametrize("data", [{"photo": "left.png"}, {"image": None}, {"image": [{"u": "a"}]}])
def test_data_without_an_address_are_named_as_the_reason(
    tmp_path: Path, data: dict[str, Any]
) -> None:
    task = Task(id=7, project_id=1, data=data)
    with pytest.raises(ImageError, match="no address of a file in 'image'"):
        FolderImages(tmp_path, ("image",)).read(task, "image")


@pytest.mark.parametrize("spacing", [None, (0.25, 0.5)])
def test_nifti_axes_and_spacing(tmp_path: Path, spacing: tuple[float, float] | None) -> None:
    _, out = run(tmp_path, "nifti", ExportOptions(spacing_mm=spacing))
    label_map = truth(7)
    path = out / "labels" / "left.nii.gz"
    image = nibabel.load(path)
    data = np.asarray(image.dataobj)
    assert data.shape == (SIZE_HW[1], SIZE_HW[0], 1)
    assert data.dtype == np.uint8
    assert (label_map == data[:, :, 0].T).all()
    vertical, horizontal = spacing or (1.0, 1.0)
    assert image.header.get_zooms() == pytest.approx((horizontal, vertical, 1.0))
    assert image.header.get_xyzt_units()[0] == ("mm" if spacing else "unknown")
    # Along the columns is to the patient's left, down the rows to the back.
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert (image.get_qform() == image.affine).all()
    # As SimpleITK (nnU-Net's reader) itself would have written the picture.
    other: Any = sitk.ReadImage(str(path))
    assert (label_map == sitk.GetArrayFromImage(other)[0]).all()
    assert other.GetSpacing() == pytest.approx((horizontal, vertical, 1.0))
    assert other.GetDirection() == sitk.GetImageFromArray(label_map[np.newaxis]).GetDirection()
    assert other.TransformIndexToPhysicalPoint((1, 2, 0)) == pytest.approx(
        (horizontal, 2 * vertical, 0)
    )
    pixels = np.asarray(nibabel.load(out / "images" / "left_0000.nii.gz").dataobj)
    assert (_png(tmp_path / "images" / "left.png") == pixels[:, :, 0].T).all()


def test_yolo(tmp_path: Path) -> None:
    report, out = run(
        tmp_path, "yolo", rows=[{**ROWS[0], "annotations": ROWS[0]["annotations"][:1]}]
    )
    names = yaml.safe_load((out / "data.yaml").read_text())["names"]
    assert names == {0: "lumen", 1: "wall"}
    lines = (out / "labels" / "left.txt").read_text().splitlines()
    painted = np.zeros(SIZE_HW, dtype=np.uint8)
    for line in lines:
        number, *shares = line.split()
        ring = np.array(shares, dtype=np.float64).reshape(-1, 2) * [SIZE_HW[1], SIZE_HW[0]]
        painted[polygon_to_mask(Polygon(ring), SIZE_HW)] = int(number) + 1
    assert (painted == truth(7, 0)).all()
    assert (_png(out / "images" / "left.png") == _png(tmp_path / "images" / "left.png")).all()
    assert report.done == 1


TRIANGLE_BEYOND = [[50.3, 50.2], [170.1, 40.3], [60.2, 190.7]]
TWICE_BEYOND = [[10, 10], [150, 10], [150, 90], [10, 90], [10, 60], [130, 60], [130, 40], [10, 40]]


@pytest.mark.parametrize("points", [TRIANGLE_BEYOND, TWICE_BEYOND])
@pytest.mark.parametrize("far", [1.0, 1e6])
def test_yolo_cuts_at_the_border(points: list[list[float]], far: float, tmp_path: Path) -> None:
    stretched = [[x if x <= 100 else x * far, y if y <= 100 else y * far] for x, y in points]
    rows = [row(7, "left.png", annotation(1, region("lumen", stretched)))]
    _, out = run(tmp_path, "yolo", rows=rows)
    run(tmp_path, "masks-png", rows=rows)
    painted = np.zeros(SIZE_HW, dtype=bool)
    for line in (out / "labels" / "left.txt").read_text().splitlines():
        ring = np.array(line.split()[1:], dtype=np.float64).reshape(-1, 2)
        assert ((ring >= 0) & (ring <= 1)).all()
        painted |= polygon_to_mask(Polygon(ring * SIZE_HW[::-1]), SIZE_HW)
    expected = _png(tmp_path / "masks-png" / "masks" / "left.png") == 1
    assert expected.any()
    assert np.count_nonzero(painted != expected) <= 2


@pytest.mark.parametrize("name", ["nnunet", "nnunet-nifti"])
def test_nnunet_keeps_its_words_to_itself(name: str, tmp_path: Path) -> None:
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
        '<Label value="background"/><Label value="ignore"/><Label value="a/b c"/></PolygonLabels>'
        "</View>"
    )
    rows = [row(7, "left.png", annotation(1, region("background", KEYHOLE)))]
    path, images = write_project(tmp_path, rows)
    report = run_export(
        ExportFile(path),
        ExportJob(format_by_name(name), config, ExportOptions(), FolderImages(images, ("image",))),
        tmp_path / "out",
    )
    dataset = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "1_background": 1, "2_ignore": 2, "a/b c": 3}
    (remark,) = report.remarks
    assert "'ignore' as '2_ignore'" in remark
    # Read back, they are called as they are.
    (image,) = import_format("masks").read(tmp_path / "out", ImportOptions())
    assert isinstance(image, ImportedImage)
    assert image.used_names == ("background",)
    assert image.class_names == ("background", "ignore", "a/b c")


def test_only_the_first_page_is_written(tmp_path: Path) -> None:
    other = region("wall", [[70, 70], [90, 70], [90, 90]], item_index=1, id="r9")
    rows = [row(7, "p0.png", annotation(1, region("lumen", KEYHOLE, item_index=0), other))]
    path, images = write_project(tmp_path, rows)
    rows[0]["data"]["image"] = ["p0.png", "p1.png"]
    path.write_text(json.dumps(rows))
    for name in ("nnunet", "masks-png", "coco", "yolo"):
        report = run_export(
            ExportFile(path),
            ExportJob(
                format_by_name(name), CONFIG, ExportOptions(), FolderImages(images, ("image",))
            ),
            tmp_path / name,
        )
        assert report.done == 1
        assert report.left_out == {"other_page": 1}
    mask = _png(tmp_path / "masks-png" / "masks" / "p0.png")
    assert set(np.unique(mask)) == {0, 1}
    written = _png(tmp_path / "nnunet" / "imagesTr" / "task_00000007_0000.png")
    assert (written == _png(images / "p0.png")).all()


def test_yolo_says_when_it_bridges_a_hole(tmp_path: Path) -> None:
    ring = np.zeros((*SIZE_HW, 4), dtype=np.uint8)
    ring[5:25, 5:25] = 255
    ring[10:15, 10:15] = 0
    png = cv2.imencode(".png", ring)[1].tobytes()
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    value = {"imageDataURL": url, "bitmasklabels": ["lumen"]}
    mask_region = region("lumen", [], type="bitmasklabels", from_name="mask", value=value)
    path, images = write_project(tmp_path, [row(7, "left.png", annotation(11, mask_region))])
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><BitmaskLabels name="mask" toName="image">'
        '<Label value="lumen"/></BitmaskLabels></View>'
    )
    out = tmp_path / "yolo"
    images_of = FolderImages(images, ("image",))
    report = run_export(
        ExportFile(path), ExportJob(format_by_name("yolo"), config, ExportOptions(), images_of), out
    )
    assert (report.left_out, report.noted) == ({}, {"hole_bridged": 1})
    (line,) = (out / "labels" / "left.txt").read_text().splitlines()
    points = np.array(line.split()[1:], dtype=np.float64).reshape(-1, 2)
    mask = polygon_to_mask(Polygon(points * [SIZE_HW[1], SIZE_HW[0]]), SIZE_HW)
    assert (mask == (ring[:, :, 3] > 0)).all()


def test_predictions_go_through_as_they_are(tmp_path: Path) -> None:
    report, out = run(tmp_path, "predictions")
    (task,) = json.loads((out / "predictions.json").read_text())
    assert task["predictions"] == [{"model_version": "v1", "score": 0.5, "result": []}]
    assert (task["data"], report.left_out) == (ROWS[0]["data"], {"no_prediction": 4})


def test_areas(tmp_path: Path) -> None:
    _, out = run(tmp_path, "csv", ExportOptions(spacing_mm=(0.5, 2.0)))
    with (out / "areas.csv").open() as file:
        rows = {(r["task"], r["class"]): r for r in csv.DictReader(file)}
    for index, name in enumerate(("lumen", "wall"), start=1):
        mask = (truth(7) == index).astype(np.uint8)
        found = rows["7", name]
        assert int(found["area_px"]) == mask.sum()
        assert float(found["area_mm2"]) == pytest.approx(mask.sum() * 1.0)
        assert int(found["parts"]) == cv2.connectedComponents(mask, connectivity=4)[0] - 1
    assert rows["8", "wall"]["parts"] == "0"
    assert rows["7", "lumen"]["image"] == "left.png"


def test_overlays_show_the_class_colour_and_a_legend(tmp_path: Path) -> None:
    _, out = run(tmp_path, "overlays")
    picture = _png(out / "overlays" / "left.png")
    assert picture.shape[0] > SIZE_HW[0]
    assert picture.shape[1:] == (SIZE_HW[1], 3)
    inside = picture[: SIZE_HW[0]][truth(7) == 1].astype(int)
    assert (inside[:, 0] - inside[:, 1]).mean() > 30  # lumen is #ff5277
    legend = picture[SIZE_HW[0] :].reshape(-1, 3).tolist()
    assert [255, 82, 119] in legend


def test_spacing_is_one_or_two_sane_numbers() -> None:
    assert parse_spacing("0.1") == (0.1, 0.1)
    assert parse_spacing("0.1, 2") == (0.1, 2.0)
    for text in ("", "a", "0", "-1", "nan", "1,2,3", "inf"):
        with pytest.raises(SettingsError, match="no size of a pixel"):
            parse_spacing(text)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        format_by_name("bmp")
    assert "masks-per-class" in caught.value.remedy

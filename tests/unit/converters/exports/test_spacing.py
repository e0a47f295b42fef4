"""The size of a pixel in exports, and nnU-Net's data set as NIfTI, read by nnU-Net itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own name for itself
from nnunetv2.experiment_planning import verify_dataset_integrity as verifying
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from PIL import Image

from converters.bookkeeping.files_report import FilesReport
from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.nifti import affine_of
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.of_tasks import FolderImages
from converters.images.pixel_spacing import spacing_from
from tests.nnunet_threads import use_threads
from tests.unit.converters.configs import CONFIG
from tests.unit.converters.exports.project import KEYHOLE, SIZE_HW, annotation, region, row, run

GREY = np.random.default_rng(3).integers(0, 255, SIZE_HW, dtype=np.uint8)
COLOR = np.random.default_rng(4).integers(0, 255, (*SIZE_HW, 3), dtype=np.uint8)
SETTING = (0.7, 0.8)


def _dicom(path: Path, spacing_hw: tuple[float, float]) -> None:
    image: Any = sitk.GetImageFromArray(GREY.astype(np.uint16)[np.newaxis])
    image.SetMetaData("0008|0060", "CR")
    image.SetSpacing((spacing_hw[1], spacing_hw[0], 1.0))
    sitk.WriteImage(image, str(path))


def _nifti(path: Path, spacing_hw: tuple[float, float]) -> None:
    image = nibabel.Nifti1Image(GREY.T[:, :, np.newaxis], affine_of(spacing_hw))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _task(number: int, name: str, **data: Any) -> dict[str, Any]:
    made = row(number, name, annotation(number, region("lumen", KEYHOLE)))
    return {**made, "data": {"image": name, **data}}


def _export(
    folder: Path, name: str, rows: list[dict[str, Any]], spacing: tuple[float, float] | None = None
) -> tuple[FilesReport, Path]:
    (folder / "export.json").write_text(json.dumps(rows))
    job = ExportJob(
        format_by_name(name),
        CONFIG,
        ExportOptions(spacing_mm=spacing),
        FolderImages(folder / "images", ("image",)),
    )
    return run_export(ExportFile(folder / "export.json"), job, folder / name), folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    _dicom(images / "scan.dcm", (0.3, 0.4))
    _nifti(images / "scan.nii.gz", (0.5, 0.6))
    Image.fromarray(GREY).save(images / "scan.png")
    Image.fromarray(GREY).save(images / "other.png")
    Image.fromarray(COLOR).save(images / "color.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "data", "setting", "expected"),
    [
        ("scan.png", {"spacing": [0.1, 0.2]}, SETTING, (0.1, 0.2)),  # the task's comes first
        ("scan.dcm", {"spacing": "0.1,0.2"}, SETTING, (0.1, 0.2)),
        ("scan.dcm", {}, SETTING, (0.3, 0.4)),  # then the file's own
        ("scan.nii.gz", {"spacing": None}, SETTING, (0.5, 0.6)),
        ("scan.nii.gz", {"spacing": "about a mm"}, None, (0.5, 0.6)),  # said, and passed over
        ("scan.png", {"spacing": ""}, SETTING, SETTING),  # then what was asked for
        ("scan.png", {"spacing": [0, 1]}, SETTING, SETTING),
        ("scan.png", {}, None, None),
    ],
)
def test_each_image_has_its_own_spacing(
    folder: Path,
    name: str,
    data: dict[str, Any],
    setting: tuple[float, float] | None,
    expected: tuple[float, float] | None,
) -> None:
    rows = [_task(1, name, **data)]
    vertical, horizontal = expected or (1.0, 1.0)
    for format_name, label in (
        ("nifti", "labels/scan.nii.gz"),
        ("nnunet-nifti", "labelsTr/task_00000001.nii.gz"),
    ):
        report, out = _export(folder, format_name, rows, setting)
        assert report.done == 1
        is_unclear = data.get("spacing") in ("about a mm", [0, 1])
        assert report.noted == ({"spacing_unclear": 1} if is_unclear else {})
        for path in (out / label, next((out / label).parents[1].glob("images*/*_0000.nii.gz"))):
            zooms = nibabel.load(path).header.get_zooms()
            assert zooms[:2] == pytest.approx((horizontal, vertical))
            assert nibabel.load(path).header.get_xyzt_units()[0] == (
                "mm" if expected else "unknown"
            )
    _, out = _export(folder, "csv", rows, setting)
    with (out / "areas.csv").open() as file:
        found = next(r for r in csv.DictReader(file) if r["class"] == "lumen")
    mm2 = float(found["area_mm2"]) if found["area_mm2"] else None
    area = int(found["area_px"]) * vertical * horizontal
    assert mm2 == (pytest.approx(area, rel=1e-5) if expected else None)


def test_a_spacing_that_changes_is_written_anew(folder: Path) -> None:
    for spacing in ([0.1, 0.1], [0.1, 0.3]):
        report, out = _export(folder, "nifti", [_task(1, "scan.png", spacing=spacing)])
        assert report.unchanged == 0
        zooms = nibabel.load(out / "labels" / "scan.nii.gz").header.get_zooms()
        assert zooms[:2] == pytest.approx(spacing[::-1])
    _dicom(folder / "images" / "scan.dcm", (2.0, 2.0))
    assert _export(folder, "nifti", [_task(1, "scan.png", spacing=[0.1, 0.3])])[0].unchanged == 1


def test_some_images_without_a_spacing_are_named(folder: Path) -> None:
    rows = [_task(1, "scan.png"), _task(2, "scan.dcm"), _task(3, "other.png")]
    for name in ("nifti", "nnunet-nifti"):
        (remark,) = _export(folder, name, rows)[0].remarks
        assert "of 2 of 3 images are (task 1, task 3)" in remark
        assert _export(folder, name, rows, SETTING)[0].remarks == ()
        assert _export(folder, name, [rows[0], rows[2]])[0].remarks == ()


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """nnU-Net's own check, with threads: each of its processes would load torch anew."""
    use_threads(monkeypatch, verifying)
    return lambda out: verifying.verify_dataset_integrity(str(out), num_processes=1)


@pytest.mark.parametrize("spacing", [None, SETTING, (30.0, 30.0)])
def test_nnunet_takes_the_nifti_data_set(
    folder: Path, verify: Callable[[Path], None], spacing: tuple[float, float] | None
) -> None:
    rows = [_task(1, "scan.png"), _task(2, "scan.dcm"), _task(3, "scan.nii.gz")]
    report, out = _export(folder, "nnunet-nifti", rows, spacing)
    assert report.done == 3
    verify(out)
    about = json.loads((out / "dataset.json").read_text())
    assert about["file_ending"] == ".nii.gz"
    assert determine_reader_writer_from_dataset_json(about) is SimpleITKIO
    assert LabelManager(about["labels"], None).foreground_labels == [1, 2]
    files = get_filenames_of_train_images_and_targets(str(out), about)
    assert list(files) == [f"task_{n:08d}" for n in (1, 2, 3)]
    image, properties = SimpleITKIO().read_images(files["task_00000001"]["images"])
    assert (image[0, 0] == GREY).all()
    # The slice's axis is the one that nnU-Net's planner takes for that of the slices.
    assert int(np.argmax(properties["spacing"])) == 0
    assert properties["spacing"][1:] == pytest.approx(spacing or (1.0, 1.0))


def test_nnunet_refuses_the_same_data_set_with_another_grid(
    folder: Path, verify: Callable[[Path], None]
) -> None:
    _, out = _export(folder, "nnunet-nifti", [_task(1, "scan.png")])
    _nifti(out / "labelsTr" / "task_00000001.nii.gz", (0.5, 0.6))
    with pytest.raises(RuntimeError):
        verify(out)


def test_a_colour_image_that_comes_and_goes_changes_every_case(
    folder: Path, verify: Callable[[Path], None]
) -> None:
    grey = [_task(1, "scan.png"), _task(2, "scan.dcm")]
    mixed = [*grey, _task(3, "color.png")]
    for rows, n, unchanged in ((grey, 1, 0), (mixed, 3, 0), (mixed, 3, 3), (grey, 1, 0)):
        report, out = _export(folder, "nnunet-nifti", rows)
        assert (report.done, report.unchanged) == (len(rows), unchanged)
        verify(out)
        about = json.loads((out / "dataset.json").read_text())
        assert list(about["channel_names"].values()) == (["R", "G", "B"] if n == 3 else ["grey"])
        assert len(list((out / "imagesTr").iterdir())) == n * len(rows)
        files = sorted(map(str, (out / "imagesTr").glob("task_00000001_*")))
        assert (SimpleITKIO().read_images(files)[0] == GREY).all()
    assert report.removed == 1


@pytest.mark.parametrize("value", [[], [1, 2, 3], True, [True], {"y": 1}, "x", "nan", 10**400, -1])
def test_what_is_no_spacing(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is no|could not|too large"):
        spacing_from(value)


def test_dicom_writes_a_spacing_with_a_backslash() -> None:
    assert spacing_from("0.1\\0.25") == (0.1, 0.25)
    assert spacing_from("[0.1, 0.25]") == (0.1, 0.25)


def test_classes_json_has_the_true_names(tmp_path: Path) -> None:
    for name in ("nnunet", "nnunet-nifti"):
        _, out = run(tmp_path, name)
        integers = {"background": 0, "lumen": 1, "wall": 2}
        assert json.loads((out / "classes.json").read_text()) == integers

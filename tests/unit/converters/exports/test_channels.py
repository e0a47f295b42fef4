"""Tasks with several images as channels, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from PIL import Image

from converters.bookkeeping.files_report import FilesReport
from converters.exports.file_source import ExportFile
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.exports.run import ExportJob, run_export
from converters.images.channels import stack_channels
from converters.images.of_tasks import FolderImages
from converters.label_studio.config.label_config import parse_label_config
from tests.unit.converters.exports.project import SIZE_HW, annotation, region

CHANNELS = ("t2", "t1")
CONFIG = parse_label_config(
    '<View><Image name="image" value="$t1"/><Image name="second" value="$t2"/>'
    '<PolygonLabels name="label" toName="image"><Label value="lumen"/></PolygonLabels></View>',
    channels=CHANNELS,
)
TRIANGLE = [[10, 10], [80, 20], [40, 90]]


def pixels(seed: int, *channels: int, dtype: type = np.uint8) -> npt.NDArray[Any]:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (*SIZE_HW, *channels), dtype=dtype)


def export(
    folder: Path, name: str, images: dict[str, npt.NDArray[Any]]
) -> tuple[FilesReport, Path]:
    """Exports one task per pair of images 1_t1, 1_t2, 2_t1, ..."""
    (folder / "images").mkdir(exist_ok=True)
    for stem, array in images.items():
        Image.fromarray(array).save(folder / "images" / f"{stem}.png")
    numbers = sorted({int(stem.partition("_")[0]) for stem in images})
    rows = [
        {
            "id": number,
            "data": {key: f"/data/upload/3/0123abcd-{number}_{key}.png" for key in CHANNELS},
            "annotations": [annotation(number, region("lumen", TRIANGLE))],
        }
        for number in numbers
    ]
    path, out = folder / "export.json", folder / name
    path.write_text(json.dumps(rows))
    source = FolderImages(folder / "images", CONFIG.image_keys)
    report = run_export(
        ExportFile(path), ExportJob(format_by_name(name), CONFIG, ExportOptions(), source), out
    )
    return report, out


def read_by_nnunet(out: Path, number: int) -> npt.NDArray[Any]:
    """(height, width, channel), as nnU-Net stacks the files."""
    files = sorted((out / "imagesTr").glob(f"task_{number:08d}_*.png"))
    stack: npt.NDArray[Any] = NaturalImage2DIO().read_images([str(f) for f in files])[0]
    return stack[:, 0].transpose(1, 2, 0)


def channel_names(out: Path) -> list[str]:
    found: dict[str, str] = json.loads((out / "dataset.json").read_text())["channel_names"]
    return [found[str(i)] for i in range(len(found))]


def test_nnunet_has_a_file_for_each_channel_in_the_order_of_the_setting(tmp_path: Path) -> None:
    images = {"1_t1": pixels(0), "1_t2": pixels(1, dtype=np.uint16)}
    report, out = export(tmp_path, "nnunet", images)
    assert report.done == 1
    expected = np.dstack([images["1_t2"], images["1_t1"]])
    assert (read_by_nnunet(out, 1) == expected).all()
    assert channel_names(out) == ["t2", "t1"]


def test_colour_anywhere_makes_every_channel_of_every_case_colour(tmp_path: Path) -> None:
    images = {"1_t1": pixels(0), "1_t2": pixels(1), "2_t1": pixels(2, 3), "2_t2": pixels(3)}
    report, out = export(tmp_path, "nnunet", images)
    assert report.done == 2
    for number in (1, 2):
        stack = {key: images[f"{number}_{key}"] for key in CHANNELS}
        if number == 1:  # grey alone: repeated
            stack = {key: np.repeat(image[:, :, None], 3, axis=2) for key, image in stack.items()}
        assert (read_by_nnunet(out, number) == stack_channels(stack, number)).all()
    assert channel_names(out) == ["t2 R", "t2 G", "t2 B", "t1 R", "t1 G", "t1 B"]
    # The colour image goes: grey again, and its files are gone.
    (tmp_path / "images" / "2_t1.png").unlink()
    report, out = export(tmp_path, "nnunet", {"1_t1": images["1_t1"], "1_t2": images["1_t2"]})
    assert (report.done, report.removed) == (1, 1)
    assert read_by_nnunet(out, 1).shape == (*SIZE_HW, 2)
    assert not list((out / "imagesTr").glob("task_00000002_*"))


def test_nifti_numbers_the_channels_of_all_images(tmp_path: Path) -> None:
    import nibabel

    images = {"1_t1": pixels(0, 3), "1_t2": pixels(1)}
    _, out = export(tmp_path, "nifti", images)
    files = sorted((out / "images").glob("*_000?.nii.gz"))
    stack = np.dstack([np.asarray(nibabel.load(file).dataobj)[:, :, 0].T for file in files])
    assert (stack == np.dstack([images["1_t2"], images["1_t1"]])).all()


def test_images_that_do_not_lie_on_top_of_each_other_are_left_out_with_both_named(
    tmp_path: Path,
) -> None:
    images = {"1_t1": pixels(0), "1_t2": pixels(1)[:-1], "2_t1": pixels(2), "2_t2": pixels(3)}
    report, _ = export(tmp_path, "nnunet", images)
    assert (report.done, report.left_out) == (1, {"channel_sizes": 1})
    assert "'t1' has 40 x 30 pixels, but 't2' has 40 x 29" in report.examples[0].message


def test_a_missing_channel_is_left_out_and_written_once_it_is_there(tmp_path: Path) -> None:
    report, _ = export(tmp_path, "nnunet", {"1_t2": pixels(1)})
    assert report.left_out == {"image_missing": 1}
    report, out = export(tmp_path, "nnunet", {"1_t1": pixels(0), "1_t2": pixels(1)})
    assert (report.done, read_by_nnunet(out, 1).shape) == (1, (*SIZE_HW, 2))


def test_a_changed_second_channel_is_written_again(tmp_path: Path) -> None:
    export(tmp_path, "nnunet", {"1_t1": pixels(0), "1_t2": pixels(1)})
    report, out = export(tmp_path, "nnunet", {"1_t1": pixels(7, dtype=np.uint16)})
    assert report.unchanged == 0
    assert (read_by_nnunet(out, 1)[:, :, 1] == pixels(7, dtype=np.uint16)).all()


def test_pictures_and_masks_need_the_first_channel_only(tmp_path: Path) -> None:
    for name in ("overlays", "masks-png", "yolo"):
        report, out = export(tmp_path, name, {"1_t2": pixels(1)})
        assert report.done == 1
        assert list(out.rglob("*.png"))

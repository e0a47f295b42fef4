"""Which images are predicted, and what is written of them."""

from __future__ import annotations

import csv
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli.commands.predict import _values
from backend.from_files.predictions.inputs import (
    ImageInput,
    find_images,
    further_pictures,
    namesake,
    settled,
)
from backend.from_files.predictions.results import (
    Predicted,
    ResultOptions,
    Results,
    palette_of,
    values_of,
)
from backend.pipeline.evaluate.folders import evaluate_folders
from backend.pipeline.evaluate.options import EvaluationOptions
from converters.classes.integers import classes_beside
from converters.images.image_pixels import write_png
from converters.images.nifti_slices import load_stack
from converters.imports.formats import format_by_name
from converters.imports.source import ImportedImage, ImportOptions
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import vectorize
from domain.errors import FileFormatError, SettingsError
from training.case_files import read_image

CONFIG = parse_label_config(polygon_label_config(["lumen", "wall, thick"]))
LABEL_MAP = np.zeros((20, 30), np.uint8)
LABEL_MAP[2:10, 3:9] = 1
LABEL_MAP[12:15, 20:25] = 2
LABEL_MAP[18, 0] = 2
PIXELS = np.full((20, 30), 128, np.uint8)


def names(sources: list[Path], beside: Path) -> list[str]:
    return [image.name for image in find_images(sources, beside)]


def test_folders_are_looked_through_and_results_are_no_images(tmp_path: Path) -> None:
    for name in (
        "b.png",
        "a.TIF",
        "sub/c.jpg",
        "out/a.png",
        ".hidden/d.png",
        ".e.png",
        "notes.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert names([tmp_path], tmp_path / "out") == ["a.TIF", "b.png", "sub/c.jpg"]
    # A file that is named is taken, whatever it is called.
    assert names([tmp_path / "notes.txt"], tmp_path / "out") == ["notes.txt"]
    with pytest.raises(FileFormatError, match="no file or folder"):
        names([tmp_path / "gone"], tmp_path / "out")


def test_two_of_one_name_are_told(tmp_path: Path) -> None:
    paths: dict[str, Path] = {}
    one = ImageInput(tmp_path / "a" / "scan.png", "scan.png")
    two = ImageInput(tmp_path / "b" / "scan.png", "scan.png")
    assert [namesake(image, paths) for image in (one, two, one)] == [None, one.path, None]


def write(
    out: Path, options: ResultOptions, name: str = "a.png"
) -> tuple[list[str], list[dict[str, str]]]:
    results = Results(out, CONFIG, options, "nnloop-v3")
    size_hw = (LABEL_MAP.shape[0], LABEL_MAP.shape[1])
    result = regions_to_result(vectorize(LABEL_MAP, [1, 2]), CONFIG, size_hw, score=0.5)
    image = ImageInput(out / name, name)
    found = Predicted(LABEL_MAP, 0.5, 0.25, 0.75, tuple(result), options.spacing_mm)
    files, record = results.write(image, image.stem, PIXELS, found)
    results.finish(lambda: iter([record]))
    with (out / "predictions.csv").open(newline="") as file:
        return files, list(csv.DictReader(file))


def test_masks_and_the_table(tmp_path: Path) -> None:
    files, rows = write(tmp_path, ResultOptions(spacing_mm=(0.5, 0.2)), "sub/a b.png")
    assert files == ["sub/a b.png"]
    np.testing.assert_array_equal(read_image(tmp_path / files[0]), LABEL_MAP)
    assert json.loads((tmp_path / "classes.json").read_text()) == {
        "background": 0,
        "lumen": 1,
        "wall, thick": 2,
    }
    [row] = rows
    assert (row["image"], row["width"], row["height"]) == ("sub/a b.png", "30", "20")
    assert (row["score"], row["score_low"], row["score_high"]) == ("0.5", "0.25", "0.75")
    assert (row["lumen area_px"], row["lumen area_mm2"], row["lumen parts"]) == ("48", "4.8", "1")
    assert (row["wall, thick area_px"], row["wall, thick parts"]) == ("16", "2")


def test_other_values_and_nifti(tmp_path: Path) -> None:
    import nibabel

    files, _ = write(tmp_path / "png", ResultOptions(values=(7, 255, 0)))
    expected = np.array([7, 255, 0], np.uint8)[LABEL_MAP]
    np.testing.assert_array_equal(read_image(tmp_path / "png" / files[0]), expected)
    said = json.loads((tmp_path / "png" / "classes.json").read_text())
    assert said == {"background": 7, "lumen": 255, "wall, thick": 0}
    files, _ = write(tmp_path / "nii", ResultOptions(nifti=True, spacing_mm=(0.5, 0.2)))
    assert files == ["a.nii.gz"]
    volume = nibabel.load(tmp_path / "nii" / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(volume.dataobj)[:, :, 0].T, LABEL_MAP)


@pytest.mark.parametrize("values", [(7, 255, 3), (3, 1, 2), (0, 2, 1)])
def test_masks_of_any_background_are_read_as_they_were_meant(
    values: tuple[int, ...], tmp_path: Path
) -> None:
    """By import (and so by train) and by evaluate; one of background alone is an empty one."""
    for number, label_map in enumerate((LABEL_MAP, np.zeros_like(LABEL_MAP))):
        for folder, options in (
            ("masks", ResultOptions(values=values)),
            ("reference", ResultOptions()),
        ):
            results = Results(tmp_path / folder, CONFIG, options, "nnloop-v3")
            image = ImageInput(tmp_path / f"{number}.png", f"{number}.png")
            results.write(image, image.stem, PIXELS, Predicted(label_map, 0.5, 0.2, 0.7))
            results.finish(lambda: iter([]))
    found = format_by_name("masks").read(tmp_path / "masks", ImportOptions())
    one, empty = (image for image in found if isinstance(image, ImportedImage))
    assert one.label_map is not None and not one.notes and not empty.notes
    for value, name in one.label_names.items():
        index = next(c.index for c in CONFIG.group.classes if c.value == name)
        np.testing.assert_array_equal(one.label_map == value, index == LABEL_MAP)
    assert empty.is_empty and not one.is_empty
    report = EvaluationOptions(tmp_path / "report", workers=1)
    if values[1:] != (1, 2):  # both folders name their classes, by other integers
        with pytest.raises(FileFormatError, match=r" in .* and .* in "):
            evaluate_folders(tmp_path / "masks", tmp_path / "reference", report)
    (tmp_path / "reference" / "classes.json").unlink()
    for path in (tmp_path / "reference").glob("?.png"):
        write_png(path, np.array([0, *values[1:]], np.uint8)[read_image(path)])
    measured = evaluate_folders(tmp_path / "masks", tmp_path / "reference", report)
    assert [row.dice.mean for row in measured.classes] == [1.0, 1.0]
    assert not measured.problems
    assert not any("Values without a class" in remark for remark in measured.remarks)


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 1), (0, 1, 256), (0, 1, 2, 3)])
def test_values_that_are_not_one_for_each_class(values: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="--values"):
        values_of(CONFIG, values)


def test_overlays_in_one_colour(tmp_path: Path) -> None:
    green = ResultOptions(overlays=True, color="#00ff00", opacity=1.0)
    files, _ = write(tmp_path, green)
    assert files == ["a.png", "overlays/a.png"]
    picture = read_image(tmp_path / "overlays" / "a.png")
    assert picture.shape[0] > 20 and picture.shape[1:] == (30, 3)
    assert tuple(picture[6, 6]) == (0, 255, 0) == tuple(picture[13, 22])
    assert tuple(picture[0, 29]) == (128, 128, 128)


def test_tasks_that_label_studio_imports(tmp_path: Path) -> None:
    options = ResultOptions(tasks=True, image_url="/data/local-files/?d=scans/")
    write(tmp_path, options)
    [task] = json.loads((tmp_path / "predictions.json").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=scans/a.png"}
    [prediction] = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("nnloop-v3", 0.5)
    assert [r["value"]["polygonlabels"][0] for r in prediction["result"]].count("lumen") == 1


def test_a_stack_is_written_as_it_lies(tmp_path: Path) -> None:
    import nibabel

    pixels = np.arange(20 * 30 * 2, dtype=np.int16).reshape(2, 20, 30)
    affine = np.diag([-0.2, -0.5, 3.0, 1.0])
    array = np.stack([one.T for one in pixels], axis=2)
    nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "scan.nii.gz")
    image = ImageInput(tmp_path / "scan.nii.gz", "day/scan.nii.gz")
    assert (image.stem, image.ending, image.n_slices()) == ("day/scan", ".nii.gz", 2)
    stack = load_stack(image.path)
    out = tmp_path / "out"
    results = Results(out, CONFIG, ResultOptions(overlays=True, tasks=True), "nnloop-v3")
    maps = [LABEL_MAP, LABEL_MAP[::-1].copy()]
    found = [Predicted(one, 0.5, 0.25, 0.75, (), stack.spacing_mm) for one in maps]
    files, record = results.write_stack(image, image.stem, stack, found)
    results.finish(lambda: iter([record]))
    assert files == ["day/scan.nii.gz", *(f"overlays/day/scan_000{k}.png" for k in range(2))]
    written = nibabel.load(out / "day" / "scan.nii.gz")
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_allclose(written.affine, nibabel.load(image.path).affine)
    for number, label_map in enumerate(maps):
        np.testing.assert_array_equal(load_stack(out / files[0]).slice(number).shown, label_map)
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["day/scan.nii.gz:0", "day/scan.nii.gz:1"]
    assert rows[0]["lumen area_mm2"] == "4.8"
    assert json.loads((out / "predictions.json").read_text()) == []


def test_a_file_that_still_grows_waits(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    scan = tmp_path / "a.png"
    scan.write_bytes(b"half")

    def look() -> list[str]:
        return [image.name for image in settled(find_images([tmp_path], tmp_path / "out"), seen)]

    assert look() == []
    scan.write_bytes(b"half and more")
    assert look() == []
    assert look() == ["a.png"]
    assert look() == ["a.png"]  # what is done already the index tells
    scan.unlink()
    assert look() == []


@pytest.mark.parametrize("colors", [("labels",), ("white", "red", "#0000ff")])
def test_masks_in_colours_are_read_back_by_name(colors: tuple[str, ...], tmp_path: Path) -> None:
    files, _ = write(tmp_path, ResultOptions(colors=colors))
    mask = read_image(tmp_path / files[0])
    table = palette_of(CONFIG, colors)
    np.testing.assert_array_equal(mask, table[LABEL_MAP])
    assert len({tuple(row) for row in table[:3].tolist()}) == 3
    found = format_by_name("masks").read(tmp_path, ImportOptions())
    (image,) = (one for one in found if isinstance(one, ImportedImage))
    assert image.label_map is not None
    named = {name: image.label_map == value for value, name in image.label_names.items()}
    for index, name in ((1, "lumen"), (2, "wall, thick")):
        np.testing.assert_array_equal(named[name], index == LABEL_MAP)
    # With numbers again, no list of colours is left.
    write(tmp_path, ResultOptions())
    assert not (tmp_path / "labelmap.txt").exists()
    (tmp_path / "labelmap.txt").write_text("somebody else's")
    write(tmp_path, ResultOptions())
    assert (tmp_path / "labelmap.txt").exists()


def test_names_that_a_list_of_colours_can_not_hold(tmp_path: Path) -> None:
    names_ = ["a:b", "#c", "background", "two\nlines", "plain"]
    config = parse_label_config(polygon_label_config(names_))
    results = Results(tmp_path, config, ResultOptions(colors=("labels",)), "v1")
    results.finish(lambda: iter([]))
    assert list(classes_beside(tmp_path).colors.values()) == ["", "plain"]


@pytest.mark.parametrize(
    ("colors", "said"),
    [
        (("black", "red"), "for background, lumen, wall, thick"),
        (("black", "red", "red"), "would both be #ff0000"),
        (("red", "black", "#ff0000"), "'background' and 'wall, thick'"),
    ],
)
def test_colours_that_do_not_tell_classes_apart(colors: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        palette_of(CONFIG, colors)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ((), ())),
        ("0,255", ((0, 255), ())),
        ("colours", ((), ("labels",))),
        ("black, #00ff00", ((), ("black", "#00ff00"))),
    ],
)
def test_values_are_numbers_or_colours(text: str | None, expected: object) -> None:
    assert _values(text) == expected


@pytest.mark.parametrize("text", ["", "0,red", "redd", "0;255", "1.5"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--values"):
        _values(text)


@pytest.mark.parametrize("name", ["a\rb.png", "a\nb.png", 'a",b.png', "\u2028.png", "=1+1.png"])
def test_the_table_has_one_row_for_an_image_whatever_it_is_called(
    name: str, tmp_path: Path
) -> None:
    files, [row] = write(tmp_path, ResultOptions(), name)
    assert (row["image"], row["mask"]) == (name, files[0])


def test_what_other_integers_meant_goes_before_new_masks_come(tmp_path: Path) -> None:
    write(tmp_path, ResultOptions(tasks=True))
    Results(tmp_path, CONFIG, ResultOptions(), "nnloop-v4").begin()
    assert (tmp_path / "classes.json").exists() and (tmp_path / "predictions.csv").exists()
    Results(tmp_path, CONFIG, ResultOptions(values=(0, 2, 1)), "nnloop-v4").begin()
    tables = {"classes.json", "predictions.csv", "predictions.json"}
    left = tables & {path.name for path in tmp_path.iterdir()}
    assert not left


def test_a_file_of_several_pictures_is_told(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 4), k, np.uint8)) for k in range(3)]
    for ending in ("tif", "gif"):
        pages[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=pages[1:])
        [note] = further_pictures(ImageInput(tmp_path / f"a.{ending}", f"a.{ending}"))
        assert note.is_remark and "holds 3 pictures" in note.message
    pages[0].save(tmp_path / "b.tif")
    (tmp_path / "c.tif").write_bytes(b"none")
    for name in ("b.tif", "c.tif"):
        assert further_pictures(ImageInput(tmp_path / name, name)) == []


def test_a_picture_that_claims_to_be_huge_has_no_further_ones(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.tif")
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    for tag in (256, 257):  # width and height
        at = re.search(struct.pack("<H", tag) + b"[\3\4]\0\1\0\0\0", raw)
        assert at is not None
        struct.pack_into("<HHLL", raw, at.start(), tag, 4, 1, 100_000)
    (tmp_path / "a.tif").write_bytes(raw)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.tif")
    assert further_pictures(ImageInput(tmp_path / "a.tif", "a.tif")) == []

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from converters.exports.nifti import nifti_bytes
from converters.masks.mask_folders import MaskName
from domain.errors import FileFormatError
from training.evaluation.files import class_names_from_values, measure_pairs, renumbered
from training.evaluation.pairs import Pair, find_pairs


def label_map(shift: int = 0, value: int = 1) -> npt.NDArray[Any]:
    array = np.zeros((40, 50), np.uint8)
    array[10:20, 10 + shift : 20 + shift] = value
    return array


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    predictions, reference = tmp_path / "predictions", tmp_path / "reference"
    for folder in (predictions, reference):
        folder.mkdir()
    return predictions, reference


def write(path: Path, array: npt.NDArray[Any]) -> None:
    if path.name.endswith(".nii.gz"):
        path.write_bytes(nifti_bytes(array, (0.5, 0.25)))
    else:
        assert cv2.imwrite(str(path), array)


def test_files_are_matched_by_name_and_strays_are_named(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, reference = folders
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.nii.gz", "only.png"):
        write(predictions / name, label_map())
    for name in ("a.tif", "b.png", "lost.bmp", "a.png"):
        write(reference / name, label_map())
    (predictions / "summary.json").write_text("{}")
    for name in ("a_0000.png", "a_0001.png"):
        write(images / name, label_map())
    pairs, problems = find_pairs(predictions, reference, images)
    assert [(p.case_id, p.image and p.image.name) for p in pairs] == [
        ("a", "a_0000.png"),
        ("b", None),
    ]
    assert pairs[0].reference.name == "a.png"
    assert {(p.case_id, p.reason) for p in problems} == {
        ("a", "two_files"),
        ("b", "image_missing"),
        ("lost", "prediction_missing"),
        ("only", "reference_missing"),
    }


def test_folders_without_label_maps_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(FileFormatError, match="no label maps"):
        find_pairs(*folders)
    with pytest.raises(FileFormatError, match="no folder"):
        find_pairs(folders[0] / "nowhere", folders[1])


def test_what_can_not_be_measured_is_a_problem(folders: tuple[Path, Path]) -> None:
    predictions, reference = folders
    for name in ("broken", "fine", "small", "strange", "deep"):
        write(predictions / f"{name}.png", label_map())
        write(reference / f"{name}.png", label_map())
    write(reference / "small.png", label_map()[:-1])
    write(predictions / "strange.png", label_map(value=7))
    (reference / "broken.png").write_bytes(b"<html>")
    write(predictions / "deep.png", label_map().astype(np.uint16) * 300)
    pairs, _ = find_pairs(predictions, reference)
    found = {p.case_id: m for p, m in zip(pairs, measure_pairs(pairs, {1: "x"}), strict=True)}
    assert found["fine"].measures is not None and not found["fine"].problems
    reasons = {name: [p.reason for p in one.problems] for name, one in found.items()}
    assert reasons == {
        "broken": ["unreadable"],
        "deep": ["unreadable"],
        "fine": [],
        "small": ["sizes_differ"],
        "strange": ["unknown_value"],
    }
    assert found["small"].measures is None
    # An unknown value is background, and said to be.
    assert found["strange"].measures is not None
    assert found["strange"].measures.classes[0].dice == 0


def test_spacing_comes_from_nifti_or_from_the_person(folders: tuple[Path, Path]) -> None:
    predictions, reference = folders
    write(predictions / "a.nii.gz", label_map(4))
    write(reference / "a.nii.gz", label_map())
    write(predictions / "b.png", label_map(4))
    write(reference / "b.png", label_map())
    pairs, _ = find_pairs(predictions, reference)

    def distances(spacing_mm: tuple[float, float] | None) -> list[tuple[float | None, str]]:
        found = [m.measures for m in measure_pairs(pairs, {1: "x"}, spacing_mm=spacing_mm)]
        return [(one.classes[0].hausdorff95, one.unit) for one in found if one is not None]

    assert distances(None) == [(4 * 0.25, "mm"), (4.0, "px")]
    assert distances((9.0, 2.0)) == [(8.0, "mm"), (8.0, "mm")]


def test_another_grid_is_another_image(folders: tuple[Path, Path]) -> None:
    predictions, reference = folders
    write(reference / "a.nii.gz", label_map())
    (predictions / "a.nii.gz").write_bytes(nifti_bytes(label_map(), (0.5, 0.5)))
    pairs, _ = find_pairs(predictions, reference)
    (found,) = measure_pairs(pairs, {1: "x"})
    assert found.measures is None
    assert found.problems[0].reason == "axes_differ"


def test_a_pool_finds_the_same_in_the_same_order(folders: tuple[Path, Path]) -> None:
    predictions, reference = folders
    for i in range(12):
        write(predictions / f"{i:02d}.png", label_map(i))
        write(reference / f"{i:02d}.png", label_map())
    pairs, _ = find_pairs(predictions, reference)
    seen: list[int] = []
    alone = list(measure_pairs(pairs, {1: "x"}))
    pooled = measure_pairs(
        pairs, {1: "x"}, workers=2, pool_after_s=0, on_case=lambda: seen.append(1)
    )
    assert list(pooled) == alone
    assert len(seen) == 12


def test_paint() -> None:
    array = np.array([[0, 3, 5, 9]], np.uint8)
    painted, unknown = renumbered(array, [5, 3])
    assert painted.tolist() == [[0, 1, 2, 0]]
    assert unknown == [9]
    white = np.array([[0, 255]], np.uint8)
    assert renumbered(white, [1])[0].tolist() == [[0, 1]]
    assert renumbered(white, [1, 255])[0].tolist() == [[0, 2]]


def test_a_pair_is_read_only_when_needed() -> None:
    missing = Pair("x", Path("/nowhere/a.png"), Path("/nowhere/b.png"))
    (found,) = measure_pairs([missing], {1: "x"})
    assert found.problems[0].reason == "unreadable"


@pytest.mark.parametrize("inside", [1, 255, 65535, "alpha", "1 bit"])
def test_one_class_is_one_class_however_it_is_written(
    folders: tuple[Path, Path], inside: int | str
) -> None:
    predictions, reference = folders
    write(predictions / "a.png", label_map())
    array: npt.NDArray[Any] = label_map()
    if inside == "alpha":
        array = np.dstack([np.full((40, 50, 3), 255, np.uint8), array * 255])
    elif inside == "1 bit":
        Image.fromarray(array > 0).save(reference / "a.png")
    else:
        assert isinstance(inside, int)
        array = array.astype(np.uint16 if inside == 65535 else np.uint8) * inside
    if inside != "1 bit":
        write(reference / "a.png", array)
    pairs, _ = find_pairs(predictions, reference)
    names = class_names_from_values(pairs, workers=1)
    assert names == {1: "class_1"}
    (found,) = measure_pairs(pairs, names)
    assert found.problems == ()
    assert found.measures is not None
    assert found.measures.classes[0].dice == 1


def test_white_beside_other_values_is_a_class(folders: tuple[Path, Path]) -> None:
    predictions, reference = folders
    both = label_map()
    both[30:35] = 255
    write(predictions / "a.png", both)
    write(reference / "a.png", label_map(value=255))
    pairs, _ = find_pairs(predictions, reference)
    assert set(class_names_from_values(pairs, workers=1)) == {1, 255}


def test_references_are_called_after_their_images(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, reference = folders
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b_0000", "c_mask", "d"):
        write(predictions / f"{name}.png", label_map())
    for name in ("a_1stHO", "a_2ndHO", "b_seg", "c_mask", "d"):
        write(reference / f"{name}.png", label_map())
    write(images / "b_0000.png", label_map())
    pairs, problems = find_pairs(predictions, reference, images)
    assert {p.case_id: (p.predicted.stem, p.reference.stem) for p in pairs} == {
        "a": ("a", "a_1stHO"),
        "b": ("b_0000", "b_seg"),
        "c_mask": ("c_mask", "c_mask"),
        "d": ("d", "d"),
    }
    assert [p.image.name for p in pairs if p.image] == ["b_0000.png"]
    assert ("a_2ndHO", "prediction_missing") in {(p.case_id, p.reason) for p in problems}
    pairs, _ = find_pairs(predictions, reference, mask_name=MaskName("{name}_2ndHO"))
    assert [(p.case_id, p.reference.stem) for p in pairs] == [("a", "a_2ndHO")]


def test_names_are_one_whatever_their_unicode_form(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, reference = folders
    images = tmp_path / "images"
    images.mkdir()
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    write(predictions / f"{composed}.png", label_map())
    write(reference / f"{decomposed}_mask.png", label_map())
    write(images / f"{decomposed}_0000.png", label_map())
    (pair,), problems = find_pairs(predictions, reference, images)
    assert (pair.case_id, problems) == (composed, ())
    assert pair.image is not None


def test_an_image_that_may_be_any_of_two_files_is_none(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    predictions, reference = folders
    images = tmp_path / "images"
    images.mkdir()
    for name in "abc":
        write(predictions / f"{name}.png", label_map())
        write(reference / f"{name}.png", label_map())
    # The very name goes first.
    for name in ("a.png", "a_0000.png", "b.png", "b.tif", "c_0000.png", "c_0000.tif"):
        write(images / name, label_map())
    pairs, problems = find_pairs(predictions, reference, images)
    assert [p.image and p.image.name for p in pairs] == ["a.png", None, None]
    assert [(p.case_id, p.reason) for p in problems] == [
        ("b", "image_ambiguous"),
        ("c", "image_ambiguous"),
    ]


def test_a_slice_that_says_nothing_of_how_it_lies_is_named_beside_a_picture(
    folders: tuple[Path, Path],
) -> None:
    predictions, reference = folders
    write(reference / "a.png", label_map())
    image = nibabel.Nifti1Image(label_map()[:, :, np.newaxis], np.eye(4))
    nibabel.save(image, predictions / "a.nii.gz")
    pairs, _ = find_pairs(predictions, reference)
    (found,) = measure_pairs(pairs, {1: "x"})
    assert found.measures is not None and found.measures.classes[0].dice == 1
    assert [problem.reason for problem in found.problems] == ["orientation"]


def test_ignored_integers_come_after_the_classes() -> None:
    stored = np.array([[0, 2, 5, 9, 255]], np.uint8)
    label_map, unknown = renumbered(stored, (2, 5), (9,))
    assert (label_map.tolist(), unknown) == ([[0, 1, 2, 3, 0]], [255])


def test_white_that_is_ignored_is_no_class() -> None:
    """A map of 0 and 255 alone shows its first class in white, but not where 255 is ignored."""
    stored = np.array([[0, 255]], np.uint8)
    assert renumbered(stored, (1,))[0].tolist() == [[0, 1]]
    assert renumbered(stored, (1,), (255,))[0].tolist() == [[0, 2]]


def test_ignored_pixels_of_references_are_not_measured(folders: tuple[Path, Path]) -> None:
    predictions, reference = folders
    sparse = label_map()
    sparse[:, 30:] = 2
    loud = label_map()
    loud[0:5, 35:45] = 1
    for name, truth in (("some", sparse), ("all", np.full_like(sparse, 2))):
        write(predictions / f"{name}.png", loud)
        write(reference / f"{name}.png", truth)
    pairs, _ = find_pairs(*folders)
    all_, some = measure_pairs(pairs, {1: "lumen"}, ignored={2})
    assert some.problems == () and some.measures is not None
    assert some.measures.classes[0].dice == 1.0
    # One of which nothing is known is left out, and said.
    assert all_.measures is None
    assert [problem.reason for problem in all_.problems] == ["all_ignored"]

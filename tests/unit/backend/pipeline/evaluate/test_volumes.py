"""Stacks of slices, evaluated: a volume is one case."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import cdist

from backend.from_files.predictions.inputs import ImageInput
from backend.from_files.predictions.results import Predicted, ResultOptions, Results
from backend.pipeline.evaluate.folders import evaluate_folders
from backend.pipeline.evaluate.options import EvaluationOptions
from converters.images.medical_pixels import load_slices
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from training.case_files import read_image
from training.evaluation.summary import Evaluation

SHAPE = (6, 20, 30)
"""(slice, height, width)"""

ZOOMS = (0.5, 0.25, 3.0)
"""Millimetres along columns, rows and slices."""


def ball(shift: int = 0, label: int = 1) -> npt.NDArray[np.uint8]:
    found = np.zeros(SHAPE, np.uint8)
    found[1:5, 5:15, 4 + shift : 14 + shift] = label
    return found


def write(
    path: Path,
    volume: npt.NDArray[Any],
    signs: tuple[int, int, int] = (-1, -1, 1),
    unit: str = "mm",
    zooms: tuple[float, float, float] = ZOOMS,
) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    affine = np.diag([*(z * s for z, s in zip(zooms, signs, strict=True)), 1.0])
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)


def evaluated(folder: Path, **options: Any) -> tuple[Evaluation, list[dict[str, str]]]:
    images = folder / "images"
    found = evaluate_folders(
        folder / "predictions",
        folder / "reference",
        EvaluationOptions(folder / "report", workers=1, n_worst=3, **options),
        images=images if images.is_dir() else None,
        class_values=("lumen", "wall"),
    )
    with (folder / "report" / "metrics.csv").open() as file:
        return found, list(csv.DictReader(file))


def surface(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Places in mm of the voxels with a neighbour outside, found one by one."""
    framed = np.pad(mask, 1)
    places = []
    for place in np.argwhere(framed):
        steps = [np.eye(3, dtype=int)[axis] * sign for axis in range(3) for sign in (-1, 1)]
        if not all(framed[tuple(place + step)] for step in steps):
            places.append(place * [ZOOMS[2], ZOOMS[1], ZOOMS[0]])
    return np.array(places, dtype=np.float64)


def test_a_volume_is_one_case(tmp_path: Path) -> None:
    predicted = ball(2)
    predicted[0, 0, 0] = 2  # one slice alone has another class
    write(tmp_path / "predictions" / "a.nii.gz", predicted)
    write(tmp_path / "reference" / "a.nii.gz", ball())
    found, rows = evaluated(tmp_path)
    first, second = predicted == 1, ball() == 1
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    distances = cdist(surface(first), surface(second))
    both = distances.min(axis=1), distances.min(axis=0)
    assert [row["presence"] for row in rows] == ["both", "invented"]
    assert float(rows[0]["dice"]) == pytest.approx(dice, abs=1e-6)
    hd95 = max(np.percentile(one, 95) for one in both)
    assert float(rows[0]["hausdorff95"]) == pytest.approx(hd95, rel=1e-5)
    mean = sum(one.mean() for one in both) / 2
    assert float(rows[0]["mean_surface_distance"]) == pytest.approx(mean, rel=1e-5)
    assert (rows[0]["unit"], rows[0]["slices"]) == ("mm", "6")
    sizes = [float(rows[0][f"spacing_{name}_mm"]) for name in ("vertical", "horizontal", "slice")]
    assert sizes == pytest.approx([0.25, 0.5, 3.0])
    assert "1 case is a volume (6 slices in all)" in " ".join(found.remarks)


def test_what_predict_writes_of_a_stack_is_measured_against_the_truth(tmp_path: Path) -> None:
    """Whatever way the stack lies."""
    pixels = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.int16)
    for name, signs in (("a", (-1, -1, 1)), ("b", (1, 1, 1)), ("c", (1, -1, -1))):
        write(tmp_path / "images" / f"{name}_0000.nii.gz", pixels, signs)
        write(tmp_path / "reference" / f"{name}.nii.gz", ball(), signs)
        image = ImageInput(tmp_path / "images" / f"{name}_0000.nii.gz", f"{name}_0000.nii.gz")
        truth = load_slices(tmp_path / "reference" / f"{name}.nii.gz")
        said = [
            Predicted(np.where(mask > 0, 2 if number == 1 else 1, 0).astype(np.uint8), 0.5, 0, 1)
            for number, mask in enumerate(truth.shown())
        ]
        config = parse_label_config(polygon_label_config(["lumen", "wall"]))
        results = Results(tmp_path / "predictions", config, ResultOptions(), "nnloop-v1")
        results.write_stack(image, image.stem, load_slices(image.path), said)
    found, rows = evaluated(tmp_path)
    assert not found.problems
    assert [row["case_id"][0] for row in rows] == ["a", "a", "b", "b", "c", "c"]
    # One of four slices of the ball is of the other class.
    assert {row["dice"] for row in rows if row["class"] == "lumen"} == {f"{6 / 7:.6f}"}
    assert {row["presence"] for row in rows if row["class"] == "wall"} == {"invented"}
    # The picture is of the slice that is wrong.
    names = sorted(path.name for path in (tmp_path / "report" / "overlays").iterdir())
    assert len(names) == 3
    assert read_image(tmp_path / "report" / "overlays" / names[0]).shape[2] == 3


def test_stacks_that_do_not_fit_are_named_and_cost_no_other(tmp_path: Path) -> None:
    for name in ("good", "short", "turned", "flat"):
        write(tmp_path / "reference" / f"{name}.nii.gz", ball())
    write(tmp_path / "predictions" / "good.nii.gz", ball())
    write(tmp_path / "predictions" / "short.nii.gz", ball()[:4])
    write(tmp_path / "predictions" / "turned.nii.gz", ball(), (-1, -1, -1))
    write(tmp_path / "predictions" / "flat.nii.gz", ball()[1:2])
    found, rows = evaluated(tmp_path)
    assert [row["case_id"] for row in rows] == ["good", "good"]
    said = {problem.case_id: problem for problem in found.problems}
    assert said["short"].message == "The prediction of short has 4 slices, its reference 6."
    assert said["flat"].message == "The prediction of flat has 1 slice, its reference 6."
    assert said["turned"].reason == "axes_differ"


@pytest.mark.parametrize("spacing_mm", [None, (0.1, 0.1)])
def test_without_a_distance_of_slices_it_is_pixels(
    spacing_mm: tuple[float, float] | None, tmp_path: Path
) -> None:
    for name, shift in (("predictions", 2), ("reference", 0)):
        path = tmp_path / name / "a.nii"
        write(path, ball(shift), unit="unknown", zooms=(1.0, 1.0, 1.0))
    _, rows = evaluated(tmp_path, spacing_mm=spacing_mm)
    assert (rows[0]["unit"], rows[0]["spacing_slice_mm"]) == ("px", "")
    assert float(rows[0]["hausdorff95"]) == pytest.approx(2)

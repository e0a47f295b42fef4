"""bfloat16 answers only where held-out cases say that it is harmless."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino
import pytest

from active_learning.measures import measure_image
from converters.bookkeeping.documents import write_document
from domain.case import Manifest, ManifestEntry
from domain.prediction import FoldProbabilities
from tests.unit.training.nnunet.inference.versions import write_version
from training.case_files import write_case
from training.nnunet.inference import proof
from training.nnunet.inference.engines.engine import Engine
from training.nnunet.inference.model import Model
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.inference.proof import (
    LEAST_CASES,
    MOST_CASES,
    Proof,
    held_out_cases,
    measure,
    quicker,
)
from training.workspace import Workspace

PASSED = Proof(8, 0.9995, -0.0005, 0.995, 1.7)


def _score(maps: FoldProbabilities) -> float:
    return measure_image([maps]).soft_dice


def _version(root: Path, n_cases: int) -> Path:
    """With cases of its workspace, held out by fold 0 and 1 in turn."""
    workspace = Workspace(root, 7)
    rng = np.random.default_rng(0)
    entries = []
    for number in range(n_cases):
        name = f"task_{number:08d}"
        image = rng.integers(0, 255, (40, 50), np.uint8)
        write_case(workspace, name, image, (image // 100).astype(np.uint8), n_channels=1)
        entries.append(ManifestEntry(name, number, number, "x", name, number % 2))
    folder = workspace.version_dir("v1")
    folder.mkdir(parents=True)
    write_version(folder)
    manifest = Manifest(tuple(entries), class_values=("disc", "square"), n_folds=2)
    write_document(folder / "manifest.json", Manifest, manifest)
    return folder


def _model(folder: Path) -> Model:
    return Model.load(folder, folds=None, device="cpu", engine="torch")


@pytest.mark.parametrize(
    "changes",
    [
        {"cases": LEAST_CASES - 1},
        {"equal_labels": 0.9989},
        {"dice_change": -0.0011},
        {"rank_correlation": 0.989},
        {"speedup": 1.1},
        {"equal_labels": float("nan")},
        {"dice_change": float("nan")},
    ],
)
def test_every_limit_counts(changes: dict[str, float]) -> None:
    assert PASSED.is_passed
    assert not dataclasses.replace(PASSED, **changes).is_passed  # type: ignore[arg-type]


def test_held_out_cases_are_those_whose_files_are_there(tmp_path: Path) -> None:
    folder = _version(tmp_path, MOST_CASES + 4)
    found = held_out_cases(folder)
    assert len(found) == MOST_CASES
    assert {case.fold for case in found} == {0, 1}
    for number in range(10):
        Workspace(tmp_path, 7).label_png(f"task_{number:08d}").unlink()
    assert len(held_out_cases(folder)) == MOST_CASES + 4 - 10
    # One that lies elsewhere, as an ensemble's member does, has none.
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert held_out_cases(moved) == []


def test_an_engine_is_harmless_next_to_itself(tmp_path: Path) -> None:
    folder = _version(tmp_path, LEAST_CASES)
    model = _model(folder)
    engines = (model.engine, model.engine)
    found = measure(model.preparation, held_out_cases(folder), _score, engines, model.folds)
    assert found is not None
    assert (found.cases, found.equal_labels, found.dice_change) == (LEAST_CASES, 1.0, 0.0)
    assert found.rank_correlation == 1.0


def test_other_networks_are_not(tmp_path: Path) -> None:
    folder = _version(tmp_path, LEAST_CASES)
    other = tmp_path / "other"
    other.mkdir()
    model, others = _model(folder), _model(write_version(other, folds=(2, 3)))

    class Turned:
        """Other weights under the numbers of these folds."""

        name, n_bytes, batch_images = "other", 0, 1

        def start(self, images, folds, tiling):  # type: ignore[no-untyped-def]
            return others.engine.start(images, [fold + 2 for fold in folds], tiling)

    engines: tuple[Engine, Engine] = (model.engine, Turned())
    found = measure(model.preparation, held_out_cases(folder), _score, engines, model.folds)
    assert found is not None
    assert found.equal_labels < 0.99
    assert not found.is_passed


def test_too_few_cases_prove_nothing(tmp_path: Path) -> None:
    folder = _version(tmp_path, LEAST_CASES - 1)
    model = Model.load(folder, folds=None, device="cpu", engine="openvino")
    assert quicker(model.preparation, model.folds, lambda: [], _score, model.engine) is None


@pytest.mark.slow
@pytest.mark.parametrize("is_lenient", [True, False])
def test_bfloat16_takes_over_if_and_only_if_it_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_lenient: bool
) -> None:
    """Where a processor has none of it, nothing happens."""
    # The weights are drawn at random and the networks tiny: labels differ, little is gained.
    monkeypatch.setattr(proof, "EQUAL_LABELS", 0.5 if is_lenient else 1.1)
    monkeypatch.setattr(proof, "DICE_LOSS", 1.0)
    monkeypatch.setattr(proof, "RANK_CORRELATION", -1.0)
    monkeypatch.setattr(proof, "LEAST_SPEEDUP", 0.0)
    folder = _version(tmp_path, LEAST_CASES)
    predictor = FoldPredictor.load(folder, engine="auto")
    predictor.prove_bfloat16(folder, _score)
    predictor.prove_bfloat16(folder, _score)
    image: npt.NDArray[np.uint8] = np.random.default_rng(1).integers(0, 255, (40, 50), np.uint8)
    engine = predictor._tiled.networks.models[0].engine
    engine._maker.join()  # type: ignore[attr-defined]
    before = predictor.predict(image)
    assert predictor.engine == "openvino"
    engine._improver.join()  # type: ignore[attr-defined]
    after = predictor.predict(image)
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if is_lenient and "BF16" in capabilities:
        assert predictor.engine == "openvino in bfloat16"
        assert 0 < np.abs(after - before).max() < 0.2
    else:
        assert predictor.engine == "openvino"
        np.testing.assert_array_equal(after, before)

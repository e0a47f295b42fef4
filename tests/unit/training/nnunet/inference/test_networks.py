from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from domain.errors import ImageError, PredictionError
from tests.unit.training.nnunet.inference.versions import plans, write_version
from training.nnunet.inference import predictor as predictor_module
from training.nnunet.inference.predictor import FoldPredictor, load_cached
from training.nnunet.inference.warm import WarmModels
from training.versions.ensembles import EnsembleParts, package_ensemble
from training.workspace import Workspace


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Members that differ in patch, normalization, mirroring, tile step and number of folds."""
    workspace = Workspace(tmp_path_factory.mktemp("ensemble"), 1)
    first, second = workspace.version_dir("a"), workspace.version_dir("b")
    write_version(first, name="a", mirror_predict=False)
    other = plans(patch_size=[48, 40], normalization_schemes=["RescaleTo01Normalization"])
    write_version(second, folds=(0, 1, 2), plans_json=other, name="b")
    return package_ensemble(
        workspace, "e", EnsembleParts([first, second], [(0, 0), (1, 2), (0, None)])
    )


def _image(number: int) -> npt.NDArray[Any]:
    size = (40, 36) if number % 3 else (33, 70)
    return np.random.default_rng(number).integers(0, 255, size, np.uint8)


def _members(ensemble: Path) -> list[FoldPredictor]:
    return [FoldPredictor.load(ensemble / "members" / name, engine="torch") for name in ("a", "b")]


def test_an_ensemble_predicts_the_mean_of_its_members(ensemble: Path) -> None:
    image = _image(0)
    found = FoldPredictor.load(ensemble, engine="torch")
    maps = found.predict(image)
    assert maps.shape == (5, 3, 33, 70)
    assert found.engine == "torch"
    wanted = np.mean([one.predict(image).mean(axis=0) for one in _members(ensemble)], axis=0)
    np.testing.assert_allclose(maps.mean(axis=0), wanted, atol=1e-6)
    first, second = (one.predict(image).mean(axis=0) for one in _members(ensemble))
    assert np.abs(first - second).max() > 0.05  # or the test would say nothing


def test_a_held_out_case_is_predicted_by_each_members_own_fold(ensemble: Path) -> None:
    image = _image(1)
    found = FoldPredictor.load(ensemble, engine="torch")
    first, second = _members(ensemble)
    assert found.folds == (0, 1, 2)
    pairs = [
        (first.predict_single_fold(image, 0), second.predict_single_fold(image, 0)),
        (first.predict_single_fold(image, 1), second.predict_single_fold(image, 2)),
        (first.predict_single_fold(image, 0), second.predict(image).mean(axis=0)),
    ]
    for fold, pair in enumerate(pairs):
        single = found.predict_single_fold(image, fold)
        np.testing.assert_allclose(single, np.mean(pair, axis=0), atol=1e-6)


def test_only_the_networks_of_the_folds_asked_for_are_loaded(ensemble: Path) -> None:
    found = FoldPredictor.load(ensemble, folds=(1,), engine="torch")
    models = found._tiled.networks.models
    assert [model.folds for model in models] == [(1,), (2,)]
    assert found.folds == (1,)
    image = _image(1)
    whole = FoldPredictor.load(ensemble, engine="torch")
    np.testing.assert_allclose(
        found.predict_single_fold(image, 1), whole.predict_single_fold(image, 1), atol=1e-6
    )
    with pytest.raises(PredictionError, match=r"has folds \[0, 1, 2\], asked for \[3\]"):
        FoldPredictor.load(ensemble, folds=(3,))
    with pytest.raises(PredictionError, match="Fold 0 is not loaded"):
        found.predict_single_fold(image, 0)


@pytest.mark.slow
def test_a_stream_is_predict_item_by_item(ensemble: Path) -> None:
    found = FoldPredictor.load(ensemble, engine="openvino")
    found.predict(_image(0))
    assert found.engine == "openvino"

    def load(number: int) -> npt.NDArray[Any]:
        if number == 2:
            raise ImageError(2, "image_missing", "gone")
        return _image(number)

    for number, future in found.predict_stream(range(5), load):
        if number == 2:
            with pytest.raises(ImageError):
                future.result()
        else:
            maps = future.result().whole()
            np.testing.assert_allclose(maps, found.predict(_image(number)), atol=1e-6)


def test_an_ensemble_is_warm_as_a_whole_and_counts_all_its_bytes(
    ensemble: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "_warm", WarmModels(2, 2**30))
    first = load_cached(ensemble, engine="torch", mirroring=True, tile_step=1.0)
    again = load_cached(ensemble, engine="torch")
    assert first._tiled.networks is again._tiled.networks
    assert [len(tiling.mirrorings) for tiling in first._tiled.tilings] == [4, 4]
    # Each member as its own preset says.
    assert [len(tiling.mirrorings) for tiling in again._tiled.tilings] == [1, 4]
    assert {tiling.step for tiling in again._tiled.tilings} == {0.5}
    networks = first._tiled.networks
    assert networks.n_bytes == sum(model.n_bytes for model in networks.models)
    assert networks.models[1].n_bytes * 2 == networks.models[0].n_bytes * 3

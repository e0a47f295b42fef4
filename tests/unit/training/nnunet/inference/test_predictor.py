"""What the predictor takes and refuses; its numbers are compared in tests/integration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from converters.bookkeeping.files import write_json
from domain.errors import PredictionError
from tests.unit.training.nnunet.inference.versions import dataset, plans, write_version
from training.nnunet.inference import predictor as predictor_module
from training.nnunet.inference.predictor import FoldPredictor, load_cached
from training.nnunet.inference.warm import WarmModels


@pytest.fixture(scope="module")
def version_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"))


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "_warm", WarmModels(2, 2**30))


def _image() -> npt.NDArray[Any]:
    return np.random.default_rng(2).integers(0, 255, (50, 41), np.uint8)


def test_openvino_gives_torchs_probabilities(version_dir: Path) -> None:
    reference = FoldPredictor.load(version_dir, engine="torch")
    quick = FoldPredictor.load(version_dir, engine="openvino")
    expected, found = reference.predict(_image()), quick.predict(_image())
    assert (reference.engine, quick.engine) == ("torch", "openvino")
    assert expected.shape == (2, 3, 50, 41)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected[0] - expected[1]).max() > 0.1  # the folds differ
    single = quick.predict_single_fold(_image(), 1)
    np.testing.assert_allclose(single, found[1], atol=1e-6)
    with pytest.raises(PredictionError, match="Fold 7 is not loaded"):
        quick.predict_single_fold(_image(), 7)


@pytest.mark.parametrize("trained_along", [None, (1,), (0, 1)])
def test_images_are_mirrored_along_the_axes_of_the_training(
    tmp_path: Path, trained_along: tuple[int, ...] | None
) -> None:
    folder = write_version(tmp_path, folds=(0,), mirror_axes=trained_along)
    predictor = FoldPredictor.load(folder, engine="torch", mirroring=True, tile_step=1.0)
    image = np.random.default_rng(2).integers(0, 255, (32, 32), np.uint8)
    expected = predictor.predict(image)
    # Mirroring an image mirrors its prediction along these axes, and along no others.
    for axis in (0, 1):
        back = np.flip(predictor.predict(np.flip(image, axis).copy()), axis + 2)
        is_equal = np.allclose(back, expected, atol=1e-4)
        assert is_equal == (axis in (trained_along or ()))
    plain = FoldPredictor.load(folder, engine="torch", mirroring=False, tile_step=1.0)
    is_plain = np.allclose(plain.predict(image), expected, atol=1e-6)
    assert is_plain == (trained_along is None)


def test_settings_replace_the_presets_and_share_warm_networks(version_dir: Path) -> None:
    default = load_cached(version_dir, engine="torch")
    plain = load_cached(version_dir, engine="torch", mirroring=False, tile_step=1.0)
    assert default._tiled.networks is plain._tiled.networks
    assert (default._tiled.tilings[0].step, len(default._tiled.tilings[0].mirrorings)) == (0.5, 4)
    assert (plain._tiled.tilings[0].step, len(plain._tiled.tilings[0].mirrorings)) == (1.0, 1)
    assert (
        load_cached(version_dir, engine="openvino")._tiled.networks is not default._tiled.networks
    )


def test_warm_networks_are_bounded_in_number_and_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
        write_version(folder, folds=(0,))
    first = load_cached(folders[0], engine="torch")._tiled.networks
    assert load_cached(folders[0], engine="torch")._tiled.networks is first
    for folder in folders[1:]:
        load_cached(folder, engine="torch")
    assert load_cached(folders[0], engine="torch")._tiled.networks is not first
    load_cached(folders[1], engine="torch", max_bytes=1)
    assert len(predictor_module._warm) == 1


def test_class_unions_come_back_as_classes(tmp_path: Path) -> None:
    unions = {**dataset(whole=[1, 2], core=2), "regions_class_order": [1, 2]}
    folder = write_version(tmp_path, folds=(0,), dataset_json=unions)
    image = np.random.default_rng(0).integers(0, 255, (70, 90), np.uint8)
    found = FoldPredictor.load(folder, engine="torch").predict(image)
    assert found.shape == (1, 3, 70, 90)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5
    # In blocks of rows, as large images are: the same to the last bit.
    predictor = FoldPredictor.load(folder, engine="torch")
    predictor.image_bytes = 40_000
    maps = predictor.predict_maps(image)
    assert len(list(maps.blocks())) > 1
    np.testing.assert_array_equal(np.concatenate([b for _, b in maps.blocks()], axis=2), found)
    # OpenVINO takes over only where it gives the same chances.
    other = FoldPredictor.load(folder, engine="openvino")
    np.testing.assert_allclose(other.predict(image), found, atol=2e-3)


def test_a_version_without_2d_is_refused(tmp_path: Path) -> None:
    folder = write_version(tmp_path, folds=(0,))
    only_3d = plans()
    only_3d["configurations"]["3d_fullres"] = only_3d["configurations"].pop("2d")
    write_json(folder / "plans.json", only_3d)
    with pytest.raises(PredictionError, match="no configuration '2d', only 3d_fullres"):
        FoldPredictor.load(folder)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = write_version(tmp_path, folds=(0,))
    torch.save({"network_weights": {}}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(PredictionError, match="can't be loaded"):
        FoldPredictor.load(folder)
    # Other bytes, each with an error of its own in torch.
    for damaged in (b"", b"a", b"aaaa", b"\x80", b"PK\x03\x04"):
        (folder / "fold_0" / "checkpoint_final.pth").write_bytes(damaged)
        with pytest.raises(PredictionError, match=r"can't be loaded: (.*damaged|Weights only|Py)"):
            FoldPredictor.load(folder)
    torch.save({}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(PredictionError, match="can't be loaded: a file lacks 'network_weights'"):
        FoldPredictor.load(folder)
    (folder / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(PredictionError, match="can't be loaded"):
        FoldPredictor.load(folder)


def test_without_openvino_torch_predicts_unless_openvino_is_asked_for(
    version_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(
        sys.modules, "training.nnunet.inference.engines.openvino_engine", raising=False
    )
    monkeypatch.setitem(sys.modules, "openvino", None)  # its import fails, as where it is missing
    with caplog.at_level("INFO"):
        predictor = FoldPredictor.load(version_dir, engine="auto")
    assert predictor.predict(_image()).shape == (2, 3, 50, 41)
    assert predictor.engine == "torch"
    assert "OpenVINO is not installed" in caplog.text
    with pytest.raises(PredictionError, match="NNLOOP_ENGINE is openvino") as caught:
        FoldPredictor.load(version_dir, engine="openvino")
    assert "nnloop[cpu]" in caught.value.remedy

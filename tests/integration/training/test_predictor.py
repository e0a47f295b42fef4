"""FoldPredictor against nnU-Net's own predictor on the same checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from domain.errors import PredictionError
from tests.integration.training.conftest import Trained
from tests.integration.training.discs import disc_image
from training.nnunet.inference.model import EngineName
from training.nnunet.inference.predictor import FoldPredictor, load_cached

pytestmark = pytest.mark.slow


def _image(height: int, width: int) -> npt.NDArray[Any]:
    """Larger than a patch, with black borders: sliding window, crop and padding all matter."""
    tile, _ = disc_image(200)
    image = np.tile(tile, (3, 3))[:height, :width].copy()
    image[:7], image[:, -5:] = 0, 0
    return image


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("mirroring", [False, True])
@pytest.mark.parametrize(
    ("height", "width"),
    [
        (96, 96),  # as trained
        (230, 171),  # several tiles
        (40, 150),  # shorter than the patch: padded
    ],
)
def test_equals_nnunets_own_softmax_of_each_fold(
    trained: Trained, engine: EngineName, mirroring: bool, height: int, width: int
) -> None:
    image = _image(height, width)
    ours = FoldPredictor.load(
        trained.version_dir, mirroring=mirroring, tile_step=0.5, engine=engine
    )
    probabilities = ours.predict(image)
    assert ours.engine == engine
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (2, 3, height, width)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    for i, fold in enumerate(ours.folds):
        theirs = nnUNetPredictor(
            tile_step_size=0.5,
            use_mirroring=mirroring,
            device=torch.device("cpu"),
            allow_tqdm=False,
        )
        theirs.initialize_from_trained_model_folder(
            str(trained.version_dir), (fold,), "checkpoint_final.pth"
        )
        labels, expected = theirs.predict_single_npy_array(
            image[None, None].astype(np.float32),
            {"spacing": (999, 1, 1)},
            save_or_return_probabilities=True,
        )
        # nnU-Net sums tiles in half precision: 1e-2 is its own error, not ours.
        assert np.abs(probabilities[i] - expected[:, 0]).max() < 2e-2
        assert (probabilities[i].argmax(axis=0) == labels[0]).mean() >= 0.999


def test_a_single_fold_is_a_slice_of_all(trained: Trained) -> None:
    predictor = FoldPredictor.load(trained.version_dir, engine="openvino")
    image = _image(96, 120)
    single, folds = predictor.predict_single_fold(image, 1), predictor.predict(image)
    # The last bits depend on where the arrays lie in memory.
    np.testing.assert_allclose(single, folds[1], atol=1e-6)
    assert np.abs(single - folds[0]).max() > 1e-3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((50, 60), np.uint8),  # nothing but black: the crop has nothing to keep
        np.full((50, 60), 255, np.uint8),  # constant
        np.zeros((1, 1), np.uint8),  # one pixel
        np.full((64, 80, 3), 7, np.uint8),  # colour for a grey model
        np.full((64, 80, 4), 7, np.uint8),  # with alpha
        np.full((64, 80), 40_000, np.uint16),  # 16 bits
    ],
)
def test_odd_images_give_probabilities(trained: Trained, image: npt.NDArray[Any]) -> None:
    probabilities = FoldPredictor.load(trained.version_dir, engine="torch").predict(image)
    assert probabilities.shape == (2, 3, *image.shape[:2])
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_what_is_no_image_is_refused(trained: Trained) -> None:
    with pytest.raises(PredictionError, match="float64"):
        FoldPredictor.load(trained.version_dir).predict(np.zeros((5, 5)))


def test_unknown_folds_and_folders_are_refused(trained: Trained) -> None:
    with pytest.raises(PredictionError, match=r"\[5\]"):
        FoldPredictor.load(trained.version_dir, folds=(5,))
    with pytest.raises(PredictionError, match="v9"):
        FoldPredictor.load(trained.version_dir.parent / "v9")


def test_checkpoints_load_without_running_code_and_cached_versions_stay_warm(
    trained: Trained,
) -> None:
    checkpoint = torch.load(
        trained.version_dir / "fold_0" / "checkpoint_final.pth", weights_only=True
    )
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    first, again = load_cached(trained.version_dir), load_cached(trained.version_dir)
    assert first._tiled.networks is again._tiled.networks

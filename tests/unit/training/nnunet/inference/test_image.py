"""ImagePreparation against nnU-Net's own preprocessing and export."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from domain.errors import PredictionError
from tests.unit.training.nnunet.inference.versions import PATCH, dataset, plans
from training.nnunet.inference.image import ImagePreparation

RGB = {**dataset(), "channel_names": {"0": "R", "1": "G", "2": "B"}}


def _preparation(plans_json: dict[str, Any], dataset_json: dict[str, Any]) -> ImagePreparation:
    manager = PlansManager(plans_json)
    return ImagePreparation(manager, manager.get_configuration("2d"), dataset_json)


def _check(
    image: npt.NDArray[Any], plans_json: dict[str, Any], dataset_json: dict[str, Any]
) -> None:
    """The same pixels go in, and the same probabilities come out, as with nnU-Net."""
    preparation = _preparation(plans_json, dataset_json)
    prepared = preparation.prepare(image)
    manager = PlansManager(plans_json)
    configuration = manager.get_configuration("2d")
    channels = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    data, _, properties = configuration.preprocessor_class(verbose=False).run_case_npy(
        channels[:, None].astype(np.float32),
        None,
        {"spacing": (999, 1, 1)},
        manager,
        configuration,
        dataset_json,
    )
    inner = prepared.pixels[(slice(None), *prepared.inside)]
    np.testing.assert_allclose(inner, data[:, 0], atol=1e-5)
    assert min(prepared.pixels.shape[1:]) >= PATCH
    outside = np.ones(prepared.pixels.shape[1:], bool)
    outside[prepared.inside] = False
    assert not prepared.pixels[:, outside].any()

    rng = np.random.default_rng(5)
    logits = rng.normal(size=(2, 3, *prepared.pixels.shape[1:])).astype(np.float32)
    found = preparation.probabilities(logits, prepared)
    assert found.shape == (2, 3, *image.shape[:2])
    assert found.dtype == np.float32
    for fold in range(2):
        _, expected = convert_predicted_logits_to_segmentation_with_correct_shape(
            torch.tensor(logits[(fold, slice(None), *prepared.inside)])[:, None],
            manager,
            configuration,
            manager.get_label_manager(dataset_json),
            properties,
            return_probabilities=True,
        )
        np.testing.assert_allclose(found[fold], expected[:, 0], atol=1e-5)


def _pixels(seed: int, *shape: int, dtype: type = np.uint8) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    border=st.tuples(*[st.integers(0, 9)] * 4),
    wide=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_equals_nnunet_for_any_size_and_black_border(
    height: int, width: int, border: tuple[int, int, int, int], wide: bool
) -> None:
    image = _pixels(height * 71 + width, height, width, dtype=np.uint16 if wide else np.uint8)
    _check(np.pad(image, (border[:2], border[2:])), plans(), dataset())


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": [1.7, 1.7]},  # resampled
        {"spacing": [0.5, 2.0]},
        {"use_mask_for_norm": [True]},  # normalized within a mask: nnU-Net's own code
        {"normalization_schemes": ["CTNormalization"]},
        {"normalization_schemes": ["NoNormalization"]},
        {"patch_size": [64, 64]},
        {
            "preprocessor_name": "DefaultPreprocessor",
            "normalization_schemes": ["RescaleTo01Normalization"],
        },
    ],
)
def test_equals_nnunet_for_other_plans(changes: dict[str, Any]) -> None:
    image = np.pad(_pixels(3, 50, 41), 4)
    image[20:30, 10:20] = 0  # a hole inside the mask
    _check(image, plans(**changes), dataset())


def test_equals_nnunet_in_colour() -> None:
    image = np.pad(_pixels(4, 40, 35, 3), ((0, 3), (2, 0), (0, 0)))
    image[:, :5, :2] = 0  # black in two channels only: no border
    schemes = ["ZScoreNormalization", "RescaleTo01Normalization", "NoNormalization"]
    _check(image, plans(normalization_schemes=schemes, use_mask_for_norm=[False] * 3), RGB)


def test_black_borders_are_background() -> None:
    preparation = _preparation(plans(), dataset())
    prepared = preparation.prepare(np.pad(_pixels(3, 50, 41), 4))
    logits = np.zeros((1, 3, *prepared.pixels.shape[1:]), np.float32)
    found = preparation.probabilities(logits, prepared)
    assert (found[:, 0, :4] == 1).all()
    assert (found[:, 1:, :, -4:] == 0).all()
    assert found[:, :, 4:-4, 4:-4] == pytest.approx(1 / 3)


def test_a_black_image_passes() -> None:
    _check(np.zeros((50, 60), np.uint8), plans(), dataset())


def test_images_may_be_transposed_by_the_plans() -> None:
    turned = {**plans(), "transpose_forward": [0, 2, 1], "transpose_backward": [0, 2, 1]}
    _check(np.pad(_pixels(6, 50, 41), ((3, 0), (0, 5))), turned, dataset())


def test_slices_along_another_axis_are_refused() -> None:
    volumes = {**plans(), "transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}
    with pytest.raises(PredictionError, match=r"volumes.*\[1, 0, 2\]") as caught:
        _preparation(volumes, dataset())
    assert "images" in caught.value.remedy


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(PredictionError, match="float64"):
        _preparation(plans(), dataset()).prepare(np.zeros((5, 5)))

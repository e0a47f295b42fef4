"""What a single network says of mirror images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.unit.training.nnunet.inference.versions import dataset, plans, write_version
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.predictor import FoldPredictor


def _image(height: int = 33, width: int = 70) -> npt.NDArray[Any]:
    return np.random.default_rng(height).integers(1, 255, (height, width), np.uint8)


def _maps(
    predictor: FoldPredictor, *images: npt.NDArray[Any], with_views: bool = True
) -> list[FoldMaps]:
    stream = predictor.predict_stream(images, lambda image: image, with_views=with_views)
    return [future.result() for _, future in stream]


def _views(maps: FoldMaps) -> npt.NDArray[np.float32]:
    blocks = list(maps.views())
    assert all(block is not None for block in blocks)
    return np.concatenate([block for block in blocks if block is not None], axis=2)


@pytest.mark.parametrize("mirror_predict", [True, False])
def test_views_are_what_the_network_says_of_the_image_turned(
    tmp_path: Path, mirror_predict: bool
) -> None:
    # One tile, so that turning the image turns what the network sees.
    version = write_version(tmp_path / "v", folds=(3,), mirror_predict=mirror_predict)
    plain = FoldPredictor.load(version, engine="torch", mirroring=False)
    image = _image(32, 32)
    [maps] = _maps(FoldPredictor.load(version, engine="torch"), image)
    views = _views(maps)
    assert views.shape == (3, 3, 32, 32)
    np.testing.assert_allclose(views[0], plain.predict(image)[0], atol=1e-6)
    upside_down = plain.predict(np.ascontiguousarray(image[::-1]))[0][:, ::-1]
    np.testing.assert_allclose(views[1], upside_down, atol=1e-5)
    left_to_right = plain.predict(np.ascontiguousarray(image[:, ::-1]))[0][..., ::-1]
    np.testing.assert_allclose(views[2], left_to_right, atol=1e-5)
    assert np.abs(views[1] - views[2]).max() > 0.05  # or the test would say nothing


def test_the_prediction_is_the_same_with_views(tmp_path: Path) -> None:
    predictor = FoldPredictor.load(write_version(tmp_path / "v", folds=(0,)), engine="torch")
    images = [_image(), _image(), _image(50, 20)]
    for with_views, without in zip(
        _maps(predictor, *images), _maps(predictor, *images, with_views=False), strict=True
    ):
        np.testing.assert_array_equal(with_views.whole(), without.whole())
        assert list(without.views()) == [None]


def test_classes_that_change_places_are_told_apart(tmp_path: Path) -> None:
    """A network that calls what lies left "left": mirrored, it says the same once it is turned."""
    for swaps, agree in (((), False), (((1, 1, 2),), True)):
        predictor = FoldPredictor(
            {0: _Sides()}, plans(), dataset(left=1, right=2), mirror_axes=(1,), swaps=swaps
        )
        views = _views(_maps(predictor, _image(32, 32))[0])
        assert np.array_equal(views[0].argmax(0), views[-1].argmax(0)) is agree


class _Sides(torch.nn.Module):  # type: ignore[misc]
    """Class 1 on the left, 2 on the right, whatever it sees."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        n, _, height, width = pixels.shape
        logits = torch.zeros(n, 3, height, width)
        logits[:, 1, :, : width // 2] = 5.0
        logits[:, 2, :, width // 2 :] = 5.0
        return logits


@pytest.mark.parametrize(("folds", "axes"), [((0, 1), (0, 1)), ((0,), ())])
def test_there_are_none_of_several_folds_or_without_mirroring_in_training(
    tmp_path: Path, folds: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    version = write_version(tmp_path / "v", folds=folds, mirror_axes=axes)
    [maps] = _maps(FoldPredictor.load(version, engine="torch"), _image())
    assert maps.mirrored is None


def test_an_image_cut_into_blocks_has_the_same_views(tmp_path: Path) -> None:
    predictor = FoldPredictor.load(write_version(tmp_path / "v", folds=(0,)), engine="torch")
    image = _image(90, 41)
    [whole] = _maps(predictor, image)
    predictor.image_bytes = 40_000
    [cut] = _maps(predictor, image)
    assert len(list(cut.views())) == len(list(cut.blocks())) > 1
    np.testing.assert_array_equal(_views(cut), _views(whole))

"""Images in blocks: the same numbers as in one piece, whatever a block may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from active_learning.measures import measure_image
from domain.prediction import FoldProbabilities, most_probable
from tests.unit.training.nnunet.inference.versions import dataset, plans, write_version
from training.nnunet.inference.image import ImagePreparation
from training.nnunet.inference.maps import FoldMaps, room
from training.nnunet.inference.model import EngineName
from training.nnunet.inference.predictor import FoldPredictor

LINEAR = {
    "spacing": [2.5, 1.7],
    "resampling_fn_probabilities": "resample_torch_fornnunet",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "force_separate_z": False},
}
"""Plans that make images smaller, and maps larger again in blocks."""


def _maps(
    image: npt.NDArray[Any], seed: int, n_folds: tuple[int, ...], image_bytes: int, **changes: Any
) -> FoldMaps:
    """Of models with logits drawn at random at the size at which networks work."""
    transpose = changes.pop("transpose", False)
    plans_json = plans(**changes)
    if transpose:
        plans_json |= {"transpose_forward": [0, 2, 1], "transpose_backward": [0, 2, 1]}
    manager = PlansManager(plans_json)
    preparation = ImagePreparation(manager, manager.get_configuration("2d"), dataset())
    prepared = preparation.prepare(image)
    rng = np.random.default_rng(seed)
    members = tuple(
        preparation.rows(
            rng.normal(0, 3, (n, 3, *prepared.pixels.shape[1:])).astype(np.float32), prepared
        )
        for n in n_folds
    )
    return FoldMaps(members, sum(n_folds), 3, prepared.size_hw, image_bytes)


def _image(seed: int, size_hw: tuple[int, int], border: int) -> npt.NDArray[np.uint8]:
    image = np.random.default_rng(seed).integers(1, 255, size_hw, np.uint8)
    if border:
        image[:border] = image[:, -border:] = 0
    return image


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    size_hw=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    border=st.integers(0, 12),
    n_folds=st.sampled_from([(1,), (5,), (2, 3), (2, 2)]),
    kind=st.sampled_from(["linear", "nnunet", "same", "transposed"]),
    image_bytes=st.sampled_from([1, 5_000, 200_000]),
)
def test_blocks_are_the_whole(
    seed: int,
    size_hw: tuple[int, int],
    border: int,
    n_folds: tuple[int, ...],
    kind: str,
    image_bytes: int,
) -> None:
    """Bit by bit, for maps, their mean, score and label map."""
    changes: dict[str, dict[str, Any]] = {
        "linear": LINEAR,
        "nnunet": {"spacing": [2.5, 1.7]},
        "same": {},
        "transposed": {**LINEAR, "transpose": True},
    }
    image = _image(seed, size_hw, border)
    whole = _maps(image, seed, n_folds, 2**40, **changes[kind]).whole()
    maps = _maps(image, seed, n_folds, image_bytes, **changes[kind])
    blocks = list(maps.blocks())
    if image_bytes == 1:
        assert len(blocks) == size_hw[0]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks], axis=2), whole)
    assert [rows.start for rows, _ in blocks] == [0, *(rows.stop for rows, _ in blocks[:-1])]
    np.testing.assert_array_equal(maps.mean(), whole.mean(axis=0))
    assert measure_image(block for _, block in blocks) == measure_image([whole])
    np.testing.assert_array_equal(most_probable(whole), whole.argmax(axis=1))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (40, 1), (2, 3), (3, 2)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_images_smaller_than_a_pixel_of_the_networks(
    tmp_path: Path, size_hw: tuple[int, int], n_channels: int
) -> None:
    """A preset that works on small images would make nothing of them."""
    version = write_version(tmp_path, plans_json=plans(**{**LINEAR, "spacing": [9.0, 9.0]}))
    predictor = FoldPredictor.load(version, engine="torch")
    shape = size_hw if n_channels == 1 else (*size_hw, 3)
    image = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    for pixels in (image, np.zeros_like(image), np.full_like(image, 255)):
        found = predictor.predict(pixels)
        assert found.shape == (2, 3, *size_hw)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("image_bytes", [30_000, 300_000])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("mirroring", [True, False])
def test_a_versions_predictions_do_not_depend_on_the_memory(
    tmp_path: Path, image_bytes: int, engine: EngineName, mirroring: bool
) -> None:
    """Unmirrored logits of this size are computed fold by fold into a file."""
    version = write_version(tmp_path, folds=(0, 1, 2), plans_json=plans(**LINEAR))
    image = _image(3, (211, 187), 4)
    predictor = FoldPredictor.load(version, engine=engine, mirroring=mirroring)
    whole, one = predictor.predict(image), predictor.predict_single_fold(image, 1)
    predictor.image_bytes = image_bytes
    maps = predictor.predict_maps(image)
    assert len(list(maps.blocks())) > 1
    np.testing.assert_array_equal(maps.mean(), whole.mean(axis=0))
    np.testing.assert_array_equal(predictor.predict_single_fold(image, 1), one)
    [(_, future)] = predictor.predict_stream([0], lambda _: image)
    np.testing.assert_array_equal(future.result().whole(), whole)
    np.testing.assert_array_equal(one, whole[1])


def test_large_maps_lie_in_a_file_that_is_gone_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small, large = room((2, 3, 4), 96), room((2, 3, 5), 96)
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    large[:] = 1.5
    assert float(large.sum()) == 45.0
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_for_them_is_an_error() -> None:
    """And no signal that ends the process when a page is written."""
    with pytest.raises(OSError, match=r"No space|too large|File too"):
        room((2**20, 2**20), 2**20)


def test_the_first_of_equals_is_the_most_probable() -> None:
    probabilities: FoldProbabilities = np.full((2, 4, 3, 5), 0.25, np.float32)
    assert not most_probable(probabilities).any()
    probabilities[:, 2:] = 0.3
    assert (most_probable(probabilities) == 2).all()
    probabilities[:] = np.nan
    assert not most_probable(probabilities).any()

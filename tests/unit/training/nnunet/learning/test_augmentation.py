from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.nnunet.learning.augmentation import (
    Augmentation,
    exchange_classes,
    warp_image,
    warp_labels,
)

NONE = Augmentation(mirror=(0, 0), p_rotation=0, p_scaling=0, max_shift=0, p_intensity=0)
SHAPE = (40, 60)


def _affine(augmentation: Augmentation, seed: int = 0) -> npt.NDArray[np.float64]:
    return augmentation.geometry(
        np.random.default_rng(seed), centre=(19.5, 29.5), shape=SHAPE, patch=SHAPE
    ).affine


def _image(channels: int = 3) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((*SHAPE, channels)).astype(np.float32)


def _labels() -> npt.NDArray[np.int16]:
    labels = np.zeros(SHAPE, np.int16)
    labels[5:20, 10:40] = 1
    labels[25:33, 30:50] = 2
    return labels


def test_nothing_switched_on_changes_nothing() -> None:
    affine = _affine(NONE)
    image = _image()
    np.testing.assert_array_equal(warp_image(image, affine, SHAPE), image)
    np.testing.assert_array_equal(warp_labels(_labels(), affine, SHAPE), _labels())
    np.testing.assert_array_equal(NONE.intensities(image, np.random.default_rng(0)), image)


@pytest.mark.parametrize("mirror", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_mirroring_is_exact(mirror: tuple[float, float]) -> None:
    """The middle of n pixels is (n - 1) / 2: half a pixel off would blur and shift."""
    affine = _affine(replace(NONE, mirror=mirror))
    axes = tuple(axis for axis, p in enumerate(mirror) if p)
    np.testing.assert_allclose(
        warp_image(_image(), affine, SHAPE), np.flip(_image(), axes), atol=1e-6
    )
    np.testing.assert_array_equal(warp_labels(_labels(), affine, SHAPE), np.flip(_labels(), axes))


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_image_and_labels_move_together(seed: int) -> None:
    labels = np.where(_labels() == 1, 1, 0).astype(np.int16)
    affine = _affine(Augmentation(), seed)
    image = warp_image(labels[:, :, None].astype(np.float32), affine, SHAPE)[:, :, 0]
    moved = warp_labels(labels, affine, SHAPE)
    # Away from an outline, linear and nearest interpolation agree.
    certain = (image < 0.01) | (image > 0.99)
    assert np.mean((image > 0.5) != (moved == 1)) < 0.05
    assert np.mean((image > 0.5)[certain] != (moved == 1)[certain]) < 0.02


@given(seed=st.integers(0, 2**32 - 1))
def test_the_scale_stays_within_its_range(seed: int) -> None:
    linear = _affine(replace(Augmentation(), p_scaling=1.0), seed)[:, :2]
    assert 0.7 <= np.sqrt(abs(np.linalg.det(linear))) <= 1.4


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 9])
def test_any_number_of_channels(channels: int) -> None:
    image = _image(channels)
    always = replace(Augmentation(), p_intensity=1.0)
    warped = warp_image(image, _affine(always), (32, 64))
    assert warped.shape == (32, 64, channels)
    changed = always.intensities(warped, np.random.default_rng(0))
    assert changed.shape == warped.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()


def test_a_constant_image_stays_finite() -> None:
    always = replace(Augmentation(), p_intensity=1.0)
    for seed in range(20):
        image = np.full((*SHAPE, 1), 3.0, np.float32)
        assert np.isfinite(always.intensities(image, np.random.default_rng(seed))).all()


def test_flipped_classes_are_exchanged_on_their_axis_alone() -> None:
    labels = _labels()
    labels[0, 0] = 5
    exchanged = exchange_classes(labels, ((1, 1, 2),), (1,))
    np.testing.assert_array_equal(exchanged == 1, labels == 2)
    np.testing.assert_array_equal(exchanged == 2, labels == 1)
    assert exchanged[0, 0] == 5
    for flipped in ((), (0,)):
        np.testing.assert_array_equal(exchange_classes(labels, ((1, 1, 2),), flipped), labels)
    np.testing.assert_array_equal(exchange_classes(labels, (), (0, 1)), labels)


def test_geometry_says_what_it_has_flipped() -> None:
    for mirror, flipped in (((1.0, 0.0), (0,)), ((0.0, 1.0), (1,)), ((1.0, 1.0), (0, 1))):
        found = replace(NONE, mirror=mirror).geometry(
            np.random.default_rng(0), centre=(19.5, 29.5), shape=SHAPE, patch=SHAPE
        )
        assert found.flipped == flipped

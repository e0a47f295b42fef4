from __future__ import annotations

from collections import Counter
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from backend.demo.options import N_DEMO_IMAGES
from backend.demo.phantom import PX_PER_MM
from backend.demo.ultrasound import (
    DEFAULT_SIZE_HW,
    KINDS,
    Sample,
    generate,
    kind_of,
)
from backend.demo.vessel import LUMEN, WALL

FIRST = range(len(KINDS))


@cache
def sample(index: int) -> Sample:
    return generate(index)


def index_of(kind: str) -> int:
    return next(i for i in range(N_DEMO_IMAGES) if kind_of(i) == kind)


def n_parts(mask: npt.NDArray[np.bool_]) -> int:
    return int(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0]) - 1


def dilated(mask: npt.NDArray[np.bool_], by_px: int) -> npt.NDArray[np.bool_]:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    grown = cv2.dilate(mask.astype(np.uint8), cross, iterations=by_px)
    return np.asarray(grown > 0)


def touches_border(mask: npt.NDArray[np.bool_]) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def test_same_arguments_give_the_same_sample() -> None:
    again = generate(3)
    assert np.array_equal(again.image, sample(3).image)
    assert np.array_equal(again.truth, sample(3).truth)
    assert (again.kind, again.name) == (sample(3).kind, "carotid_003")


def test_index_and_seed_both_change_the_image() -> None:
    assert not np.array_equal(sample(3).image, sample(4).image)
    assert not np.array_equal(sample(3).image, generate(3, seed=7).image)


def test_demo_holds_every_kind_and_four_empty_images() -> None:
    counts = Counter(kind_of(i) for i in range(N_DEMO_IMAGES))
    assert counts == {kind: 4 * KINDS.count(kind) for kind in set(KINDS)}
    assert counts["empty"] == 4


def test_the_first_twelve_hold_every_kind() -> None:
    assert sorted(kind_of(i) for i in FIRST) == sorted(KINDS)


@pytest.mark.parametrize("index", FIRST)
def test_arrays(index: int) -> None:
    made = sample(index)
    assert made.image.shape == made.truth.shape == DEFAULT_SIZE_HW == (464, 662)
    assert made.image.dtype == made.truth.dtype == np.uint8
    assert set(np.unique(made.truth)) <= {0, LUMEN, WALL}
    assert made.image.std() > 8  # something to see, even at low gain


@pytest.mark.parametrize("index", FIRST)
def test_truth_is_one_lumen_enclosed_by_one_wall(index: int) -> None:
    made = sample(index)
    lumen, wall = made.truth == LUMEN, made.truth == WALL
    if made.kind == "empty":
        assert not made.truth.any()
        return
    assert wall.any() and lumen.any()
    assert n_parts(lumen) == 1
    assert n_parts(made.truth > 0) == 1
    # Every neighbour of the lumen is lumen or wall, so background never touches it.
    assert (made.truth[dilated(lumen, 1)] > 0).all()
    assert touches_border(made.truth > 0) == (made.kind == "truncated")


WHOLE = [index for index in FIRST if kind_of(index) not in ("empty", "truncated")]


@pytest.mark.parametrize("index", WHOLE)
def test_anatomy_is_of_human_size(index: int) -> None:
    made = sample(index)
    lumen, vessel = made.truth == LUMEN, made.truth > 0
    lumen_mm = 2 * np.sqrt(lumen.sum() / np.pi) / PX_PER_MM
    ring_mm = (2 * np.sqrt(vessel.sum() / np.pi) / PX_PER_MM - lumen_mm) / 2
    assert (3.3 if made.kind == "small" else 3.6 if made.kind == "plaque" else 4.9) < lumen_mm < 7.1
    assert 0.6 < ring_mm < (1.6 if made.kind == "plaque" else 1.2)


@pytest.mark.parametrize("kind", ["typical", "open_vein", "small", "high_gain", "off_centre"])
def test_image_shows_what_the_truth_says(kind: str) -> None:
    made = sample(index_of(kind))
    lumen, wall = made.truth == LUMEN, made.truth == WALL
    around = dilated(made.truth > 0, 12) & (made.truth == 0)
    dark, middle, bright = (float(made.image[m].mean()) for m in (lumen, wall, around))
    assert dark < middle < bright
    # A truth that sat elsewhere would not fit: shifted by a radius the contrast is lost.
    shifted = np.roll(lumen, 50, axis=1)
    assert made.image[shifted].mean() > dark + 10


def test_low_gain_is_darker_and_high_gain_brighter() -> None:
    low, typical, high = (
        sample(index_of(kind)).image.mean() for kind in ("low_gain", "typical", "high_gain")
    )
    assert low < typical < high


def test_speckle_is_correlated_more_sideways_than_in_depth() -> None:
    made = sample(index_of("typical"))
    patch = made.image[100:400].astype(float)
    texture = patch - cv2.GaussianBlur(patch, (0, 0), 8)

    def correlation(dy: int, dx: int) -> float:
        a, b = texture[: 300 - dy, : 662 - dx], texture[dy:, dx:]
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert correlation(0, 4) > correlation(4, 0) + 0.1


def test_other_sizes() -> None:
    made = generate(0, size_hw=(400, 500))
    assert made.image.shape == made.truth.shape == (400, 500)


@pytest.mark.parametrize(
    ("index", "seed", "size_hw"), [(-1, 0, (464, 662)), (0, -1, (464, 662)), (0, 0, (299, 662))]
)
def test_refuses_what_it_can_not_draw(index: int, seed: int, size_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        generate(index, seed, size_hw)

from __future__ import annotations

from statistics import fmean

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.nnunet.data import resolution
from training.nnunet.data.resolution import (
    MIN_CLASS_KEPT,
    MIN_KEPT,
    coarsest_side,
    kept_dice,
    mean_kept,
)

LabelMap = npt.NDArray[np.uint8]


def _disc(side: int, radius: float, value: int = 1) -> LabelMap:
    y, x = np.mgrid[:side, :side] + 0.5
    inside = np.hypot(y - side / 2, x - side / 2) < radius
    return np.where(inside, value, 0).astype(np.uint8)


def _line(side: int, width: int) -> LabelMap:
    label_map = np.zeros((side, side), np.uint8)
    # Slanted, so that no grid of coarse pixels fits it by chance.
    for row in range(side):
        start = side // 4 + row // 3
        label_map[row, start : start + width] = 1
    return label_map


def test_at_full_size_everything_is_kept() -> None:
    assert kept_dice(_disc(60, 9), 1.0) == {1: 1.0}


def test_each_class_present_has_its_own_figure() -> None:
    both = np.maximum(_disc(200, 80), 3 * (_line(200, 2) & _disc(200, 80)))
    kept = kept_dice(both, 0.25)
    assert kept.keys() == {1, 3}
    assert kept[1] > kept[3]


def test_large_shapes_allow_a_small_size_and_thin_ones_do_not() -> None:
    assert coarsest_side([_disc(512, 100)], 512, 128) == 128
    assert coarsest_side([_line(512, 3)], 512, 128) > 256


def test_maps_without_foreground_do_not_count() -> None:
    empty = np.zeros((512, 512), np.uint8)
    assert coarsest_side([empty, _disc(512, 100)], 512, 128) == 128
    assert coarsest_side([empty], 512, 128) == 512


def test_small_images_stay_as_they_are() -> None:
    assert coarsest_side([_disc(100, 30)], 100, 128) == 100


def test_no_size_is_tried_that_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def kept(label_map: LabelMap, scale: float) -> dict[int, float]:
        tried.append(round(scale * 4000))
        return kept_dice(label_map, scale)

    monkeypatch.setattr(resolution, "kept_dice", kept)
    thin = [_line(400, 1)] * 40
    # Above the most that is wanted none; of one far too small only the first maps.
    assert coarsest_side(thin, 4000, 128, 256) == 256
    assert set(tried) == {128, 160, 192, 224}
    assert len(tried) < 4 * 10


@given(radius=st.floats(4, 90), low=st.sampled_from([64, 128]))
def test_the_answer_keeps_the_shapes(radius: float, low: int) -> None:
    label_map = _disc(200, radius)
    side = coarsest_side([label_map], 200, low)
    assert side == 200 or (side - low) % 32 == 0
    assert kept_dice(label_map, side / 200)[1] >= MIN_KEPT


def test_a_thin_class_is_not_lost_among_thick_ones() -> None:
    """Four discs and a line: their mean is above the bar long before the line is kept."""
    discs = [_disc(512, 200, value) for value in (1, 2, 3, 4)]
    line = 5 * _line(512, 3)
    side = coarsest_side([*discs, line], 512, 128)
    assert kept_dice(line, side / 512)[5] >= MIN_CLASS_KEPT
    kept = [kept_dice(label_map, 256 / 512) for label_map in (*discs, line)]
    assert fmean(mean_kept(kept).values()) >= MIN_KEPT - 0.02
    assert mean_kept(kept)[5] < MIN_CLASS_KEPT

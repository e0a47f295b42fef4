import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.outlines.drawing import Patch
from converters.outlines.topology import Mask, Tears, faults, topology
from tests.unit.converters.shapes import spiky


def boxes_one_by_one(before: Mask, after: Mask) -> list[list[float]]:
    """The slow way: each blob of wrong pixels mended by itself."""
    wrong = (before != after).astype(np.uint8)
    n_blobs, blobs, stats, _ = cv2.connectedComponentsWithStats(wrong, connectivity=8)
    found = []
    for number in range(1, n_blobs):
        left, top, width, height = stats[number, :4].tolist()
        window = (slice(top - 1, top + height + 1), slice(left - 1, left + width + 1))
        mended = np.where(blobs[window] == number, before[window], after[window])
        if topology(np.pad(mended, 1)) != topology(np.pad(after[window], 1)):
            found.append([left, top, left + width, top + height])
    return found


def boxes(before: Mask, after: Mask) -> list[list[float]]:
    return [[*low.tolist(), *high.tolist()] for low, high in faults(before, after)]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.01, 0.5))
def test_faults_are_those_found_one_by_one(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    before = np.pad((rng.random((24, 20)) < 0.5).astype(np.uint8), 1)
    flipped = np.pad(rng.random((24, 20)) < share, 1)
    after = np.where(flipped, 1 - before, before)
    assert boxes(before, after) == boxes_one_by_one(before, after)


@pytest.mark.parametrize("seed", range(5))
def test_faults_of_any_size(seed: int) -> None:
    before = np.pad((spiky(seed) == 1).astype(np.uint8), 1)
    kernel = np.ones((5, 5), dtype=np.uint8)
    after = np.pad(cv2.morphologyEx(before, cv2.MORPH_OPEN, kernel)[1:-1, 1:-1], 1)
    after[20:60, 30:33] = 1
    assert boxes(before, after) == boxes_one_by_one(before, after)


def test_a_part_that_breaks_is_torn_where_it_broke() -> None:
    bar = Patch(10, 20, np.ones((3, 30), dtype=np.bool_))
    tears = Tears([bar])
    assert tears.found([bar]) is None
    broken = bar.pixels.copy()
    broken[:, 12:14] = False
    ((low, high),) = tears.found([Patch(10, 20, broken)]) or []
    assert low.tolist() == [32, 10]
    assert high.tolist() == [34, 13]
    # Shorter, but whole.
    assert tears.found([Patch(10, 20, bar.pixels[:, :20])]) is None
    # Gone.
    assert tears.found([Patch(0, 0, np.zeros((0, 0), dtype=np.bool_))])

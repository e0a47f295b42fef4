from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.nnunet.inference.postprocessing import apply_postprocessing, postprocessed
from training.versions.keep_largest import KeepLargest

STEPS = (KeepLargest((1, 2)), KeepLargest((2,)))


@given(arrays(np.float32, (3, 9, 8), elements=st.floats(0, 1, width=32)))
def test_the_most_probable_class_is_the_postprocessed_one(values: np.ndarray[Any, Any]) -> None:
    values = (values + np.float32(1e-3)) / (values + np.float32(1e-3)).sum(axis=0)
    before = values.copy()
    label_map = values.argmax(axis=0).astype(np.uint8)
    cleaned = postprocessed(before.copy(), STEPS)
    expected = apply_postprocessing(label_map, STEPS)
    np.testing.assert_array_equal(cleaned.argmax(axis=0), expected)
    np.testing.assert_allclose(cleaned.sum(axis=0), 1, atol=1e-5)
    # What was not removed keeps its probabilities: uncertainty near it stays as it was.
    same = expected == label_map
    np.testing.assert_array_equal(cleaned[:, same], values[:, same])


def test_only_the_largest_part_of_the_named_classes_stays() -> None:
    label_map = np.zeros((8, 8), np.uint8)
    label_map[0:3, 0:3] = 1
    label_map[3, 3] = 1  # touches at a corner: the same part
    label_map[6:8, 6:8] = 1
    label_map[6, 0] = 2
    kept = apply_postprocessing(label_map, (KeepLargest((1,)),))
    expected = label_map.copy()
    expected[6:8, 6:8] = 0
    np.testing.assert_array_equal(kept, expected)
    assert apply_postprocessing(label_map, ()) is label_map


def test_nothing_is_copied() -> None:
    values = np.zeros((3, 3, 3), np.float32)
    assert postprocessed(values, ()) is values
    assert postprocessed(values, STEPS) is values

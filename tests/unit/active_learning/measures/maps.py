"""Fold probabilities made for tests."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domain.prediction import FoldProbabilities


def of_label_maps(*label_maps: list[list[int]], n_classes: int = 2) -> FoldProbabilities:
    """Folds that are certain of these label maps."""
    one_hot: FoldProbabilities = np.eye(n_classes, dtype=np.float32)[np.array(label_maps)]
    return one_hot.transpose(0, 3, 1, 2)


def constant(*folds: list[float]) -> FoldProbabilities:
    """Folds with these class probabilities at each of 2 x 3 pixels."""
    array = np.array(folds, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    return np.broadcast_to(array, (*array.shape[:2], 2, 3)).copy()


@st.composite
def fold_probabilities(draw: st.DrawFn) -> FoldProbabilities:
    shape = tuple(draw(st.integers(low, high)) for low, high in ((1, 4), (2, 4), (1, 5), (1, 5)))
    weights = draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=16)))
    weights = weights + np.float32(1e-3)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

"""Unions painted back into classes: nnU-Net's own way is the truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from domain.errors import PredictionError
from domain.prediction import most_probable
from training.nnunet.inference.painting import of_unions

LABELS = {
    "one": ({"background": 0, "all": [1, 2]}, [1]),
    "two": ({"background": 0, "vessel": [1, 2], "lumen": [1]}, [2, 1]),
    "brats": ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}, [1, 2, 3]),
    "apart": ({"background": 0, "ab": [1, 2], "a": [1], "c": [3]}, [2, 1, 3]),
    "foreign, a class painted twice": (
        {"background": 0, "ab": [1, 2], "b": [2], "a": [1]},
        [1, 2, 1],
    ),
}


def _logits(n: int, spread: float, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(0, spread, (2, n, 40, 50)), np.float32)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 500.0])
@pytest.mark.parametrize("name", LABELS)
def test_the_prediction_of_a_fold_is_nnunets(name: str, spread: float) -> None:
    labels, order = LABELS[name]
    manager = LabelManager(labels, order)
    logits = _logits(len(order), spread)
    found = of_unions(logits, order)
    for fold in range(2):
        expected = manager.convert_logits_to_segmentation(logits[fold][:, None])[0]
        assert (most_probable(found[fold]) == expected).all()


@pytest.mark.parametrize("name", LABELS)
def test_probabilities_are_some(name: str) -> None:
    _, order = LABELS[name]
    found = of_unions(_logits(len(order), 3.0), order)
    assert found.shape == (2, max(order) + 1, 40, 50)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5


def test_what_is_sure_is_sure() -> None:
    logits = np.array([[20, 20, -20], [20, -20, 20]], np.float32).reshape(1, 2, 1, 3)
    found = of_unions(logits, (2, 1))[0, :, 0]
    # Vessel and lumen: lumen. Vessel alone: wall. Lumen without a vessel: painted all the same.
    assert found.argmax(axis=0).tolist() == [1, 2, 1]
    assert found.max(axis=0).min() > 0.99


def test_rows_by_themselves_give_the_same_numbers() -> None:
    logits = _logits(3, 2.0)
    whole = of_unions(logits, (1, 2, 3))
    parts = [of_unions(logits[:, :, rows : rows + 7], (1, 2, 3)) for rows in range(0, 40, 7)]
    assert (np.concatenate(parts, axis=2) == whole).all()


def test_too_few_maps_are_told_of() -> None:
    with pytest.raises(PredictionError, match="gives 2 maps for 3 unions"):
        of_unions(_logits(2, 1.0), (1, 2, 3))

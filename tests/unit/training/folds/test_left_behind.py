from __future__ import annotations

import pytest

from tests.fakes.documents import fold_result
from training.folds.left_behind import in_words, left_behind
from training.folds.spec import FoldResult


def _fold(fold: int, steps: int, dice: float | None, stopped: str = "budget") -> FoldResult:
    return fold_result({f"case {fold}": {"lumen": dice}}, fold=fold, steps=steps, stopped=stopped)


def _behind(*folds: FoldResult) -> list[int]:
    return [result.fold for result in left_behind(folds)]


def test_a_starved_fold_that_is_worse_is_left_out() -> None:
    folds = [_fold(0, 42, 0.31), _fold(1, 344, 0.8), _fold(2, 342, 0.78)]
    assert _behind(*folds) == [0]
    assert in_words(left_behind(folds), "nnloop-v7", 3) == (
        "nnloop-v7 is made of 2 of 3 folds, for want of training time for fold 0 (42 steps, "
        "Dice 0.31)"
    )


@pytest.mark.parametrize(
    "folds",
    [
        (),
        (_fold(0, 1, 0.1),),
        (_fold(0, 1, 0.1), _fold(1, 500, 0.9)),  # one alone knows nothing of its uncertainty
        (_fold(0, 200, 0.3), _fold(1, 344, 0.8), _fold(2, 342, 0.8)),  # it had its time
        (_fold(0, 42, 0.78), _fold(1, 344, 0.8), _fold(2, 342, 0.8)),  # it is as good
        (_fold(0, 42, 0.3, "plateau"), _fold(1, 344, 0.8), _fold(2, 342, 0.8)),  # it had enough
        (_fold(0, 42, 0.3), _fold(1, 44, 0.3), _fold(2, 43, 0.3)),  # all alike
    ],
)
def test_others_stay(folds: tuple[FoldResult, ...]) -> None:
    assert _behind(*folds) == []
    assert in_words(left_behind(folds), "nnloop-v7", len(folds)) == ""


def test_two_folds_stay_whatever_happened() -> None:
    folds = [_fold(0, 10, 0.1), _fold(1, 9, 0.2), _fold(2, 300, 0.8), _fold(3, 310, 0.8)]
    assert _behind(*folds) == [0, 1]
    assert len(_behind(*folds[:3])) <= 1

from __future__ import annotations

import pytest

from backend.pipeline.gate.judge_run import cases_of_class
from backend.store.models import FoldRow
from training.folds.spec import FoldResult


def fold(number: int, **counts: int) -> FoldRow:
    result = FoldResult(
        fold=number,
        epochs=1,
        steps=1,
        dice_per_case={},
        dice_per_class={},
        seconds=1.0,
        device="cpu",
        warm_started=False,
        stopped="",
        batch_size=1,
        planned_batch_size=1,
        cases_of_class=counts,
    )
    return FoldRow(fold=number, result=result)


@pytest.mark.parametrize(
    ("n_folds", "folds", "counted"),
    [
        (2, [fold(0, lumen=3, wall=0), fold(1, lumen=4, wall=1)], {"lumen": 7, "wall": 1}),
        (3, [fold(0, lumen=3), fold(1, lumen=4)], {}),  # what the third held out is not counted
        (1, [fold(0)], {}),  # nothing was held out
    ],
)
def test_every_case_is_counted_once_or_none_is(
    n_folds: int, folds: list[FoldRow], counted: dict[str, int]
) -> None:
    assert cases_of_class(n_folds, folds) == counted

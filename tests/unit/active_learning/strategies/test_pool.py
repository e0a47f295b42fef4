from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from active_learning.strategies.pool import Pool, unpredicted


def pool(n: int = 3, **changed: Any) -> Pool:
    whole = Pool(
        task_ids=np.arange(n),
        quality=np.full(n, 0.5),
        measures={"entropy": np.full(n, 0.1)},
        class_shares=np.full((n, 2), 0.25),
        embeddings=np.ones((n, 4), np.float32),
        labelled_embeddings=np.ones((1, 4), np.float32),
        progress=0.5,
    )
    return replace(whole, **changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"task_ids": np.array([[1, 2, 3]])}, r"task_ids must be \(n,\) integers, got int64 of"),
        ({"task_ids": np.array([0.0, 1.0, 2.0])}, "task_ids must be .* got float64"),
        ({"task_ids": np.array([7, 8, 7])}, "must differ, got 7 twice"),
        ({"quality": np.ones(2)}, r"quality must be \(3,\) floats, got float64 of the shape \(2,"),
        ({"quality": np.ones(3, np.int64)}, "quality must be .* got int64"),
        ({"quality": np.array([0.0, np.nan, 1.5])}, "quality must not exceed 1.0, got 1.5"),
        ({"quality": np.array([0.0, -0.5, 1.0])}, "quality must not lie below 0.0, got -0.5"),
        ({"measures": {"entropy": np.ones((3, 1))}}, r"measures\['entropy'\] must be \(3,\)"),
        ({"measures": {"entropy": np.array([0, np.inf, 0])}}, "must be finite or NaN, got inf"),
        ({"class_shares": np.ones(3)}, r"class_shares must be \(n, C\)"),
        ({"class_shares": np.ones((2, 2))}, r"class_shares must be \(3, 2\)"),
        ({"class_shares": np.full((3, 2), 2.0)}, "class_shares must not exceed 1.0, got 2.0"),
        ({"embeddings": np.ones((2, 4), np.float32)}, r"embeddings must be \(3, 4\)"),
        ({"embeddings": np.ones((3, 0), np.float32)}, r"embeddings must be \(n, d\)"),
        ({"embeddings": np.full((3, 4), -np.inf, np.float32)}, "finite or NaN, got -inf"),
        ({"labelled_embeddings": np.ones((1, 5), np.float32)}, "the 4 columns of embeddings"),
        ({"labelled_embeddings": np.ones(4, np.float32)}, r"must be \(m, d\)"),
        ({"progress": 1.5}, r"progress must lie in \[0, 1\], got 1.5"),
        ({"progress": float("nan")}, r"progress must lie in \[0, 1\], got nan"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pool(**changed)


def test_unknown_values_and_no_tasks_are_fine() -> None:
    unknown = np.full(3, np.nan)
    assert len(pool(quality=unknown, measures={"entropy": unknown})) == 3
    assert len(pool(0)) == 0
    assert len(unpredicted(np.array([4, 9]), n_classes=3)) == 2


def test_part_has_the_same_tasks_in_another_order() -> None:
    whole = pool(quality=np.array([0.1, 0.2, 0.3]))
    part = whole.part(np.array([2, 0]))
    assert part.task_ids.tolist() == [2, 0]
    assert part.quality.tolist() == [0.3, 0.1]
    assert part.progress == whole.progress
    assert part.embeddings is not None
    assert part.embeddings.shape == (2, 4)

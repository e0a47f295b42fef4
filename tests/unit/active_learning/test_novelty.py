import numpy as np
import numpy.typing as npt
import pytest

from active_learning.novelty import FEWEST, MOST, LabelledLooks


def units(n: int, rng: np.random.Generator, spread: float = 0.15) -> npt.NDArray[np.float32]:
    """(n, 16) unit vectors round the first axis."""
    points = spread * rng.normal(size=(n, 16))
    points[:, 0] += 1.0
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def test_what_was_drawn_alike_is_called_unlike_in_5_of_100_cases_at_most() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        looks = LabelledLooks(units(40, rng))
        found += [looks.is_unlike(one) for one in units(20, rng)]
    assert 0.01 < np.mean(found) < 0.06


@pytest.mark.parametrize("n", [FEWEST, 60, 3 * MOST])
def test_another_kind_of_image_is_told(n: int) -> None:
    rng = np.random.default_rng(1)
    looks = LabelledLooks(units(n, rng))
    other = np.zeros(16, np.float32)
    other[5] = 1.0
    assert looks.is_unlike(other)
    assert looks.p_of(other) == pytest.approx(1 / (1 + min(n, MOST)))


@pytest.mark.parametrize("n", [0, 1, 2, FEWEST - 1])
def test_few_images_say_nothing(n: int) -> None:
    looks = LabelledLooks(units(n, np.random.default_rng(2)))
    assert not looks.is_unlike(np.eye(16, dtype=np.float32)[5])


def test_the_same_image_many_times_is_like_itself_alone() -> None:
    same = np.repeat(units(1, np.random.default_rng(3)), 30, axis=0)
    looks = LabelledLooks(same)
    assert not looks.is_unlike(same[0])
    assert looks.is_unlike(np.eye(16, dtype=np.float32)[5])


def test_unknown_embeddings_count_for_nothing() -> None:
    rng = np.random.default_rng(4)
    known = units(30, rng)
    holes = np.insert(known, [0, 7, 30], np.nan, axis=0)
    one = units(1, rng)[0]
    assert LabelledLooks(holes).p_of(one) == LabelledLooks(known).p_of(one)
    assert LabelledLooks(holes).p_of(np.full(16, np.nan, np.float32)) == 1.0
    assert LabelledLooks(np.full((3, 16), np.nan, np.float32)).p_of(one) == 1.0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.nnunet.inference.mixing import mean_of_members, mixed, mixing_matrix

FOLDS = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@given(FOLDS)
def test_every_member_counts_alike_whatever_its_number_of_folds(n_folds: list[int]) -> None:
    matrix = mixing_matrix(n_folds)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    wanted = np.concatenate([np.full(n, 1 / (len(n_folds) * n)) for n in n_folds])
    np.testing.assert_allclose(matrix.mean(axis=0), wanted, atol=1e-12)


@given(st.integers(1, 7), st.integers(1, 4))
def test_equal_numbers_of_folds_are_left_alone(n: int, members: int) -> None:
    np.testing.assert_allclose(mixing_matrix([n] * members), np.eye(n * members), atol=1e-9)


@pytest.mark.parametrize("n_folds", [(3, 3), (2, 5), (1, 2, 4)])
def test_the_maps_are_probabilities_and_average_to_the_members_mean(
    n_folds: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(1)
    members = [
        rng.dirichlet(np.ones(3), (n, 5, 4)).transpose(0, 3, 1, 2).astype(np.float32)
        for n in n_folds
    ]
    found = mixed(members)
    assert found.dtype == np.float32
    assert found.shape == (sum(n_folds), 3, 5, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    assert found.min() >= 0.0
    wanted = np.mean([member.mean(axis=0) for member in members], axis=0)
    np.testing.assert_allclose(found.mean(axis=0), wanted, atol=1e-6)
    np.testing.assert_allclose(mean_of_members(members), wanted, atol=1e-6)
    if len(set(n_folds)) == 1:
        np.testing.assert_array_equal(found, np.concatenate(members))


def test_a_single_versions_maps_are_not_copied() -> None:
    maps = np.zeros((2, 3, 4, 4), np.float32)
    assert mixed([maps]) is maps

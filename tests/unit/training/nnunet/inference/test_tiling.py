from __future__ import annotations

import numpy as np
import pytest

from training.nnunet.inference.tiling import Tiling


def test_every_pixel_is_in_a_tile_and_tiles_are_no_further_apart_than_the_step() -> None:
    tiling = Tiling((32, 48), 0.5, ())
    windows = tiling.windows((100, 130))
    covered = np.zeros((100, 130), int)
    for window in windows:
        assert covered[window].shape == (32, 48)
        covered[window] += 1
    assert covered.min() >= 1
    rows = sorted({window[0].start for window in windows})
    columns = sorted({window[1].start for window in windows})
    assert max(np.diff(rows)) <= 16
    assert max(np.diff(columns)) <= 24
    assert tiling.windows((100, 130)) is windows  # computed once


def test_a_single_tile_has_no_weight_and_several_have_nnunets_gaussian() -> None:
    tiling = Tiling((32, 32), 0.5, ())
    assert tiling.weight((32, 32)) is None
    weight = tiling.weight((40, 32))
    assert weight is not None
    assert weight.max() == weight[16, 16] == pytest.approx(10)
    assert 0 < weight[0, 0] < 0.1
    total = tiling.total_weight((40, 32))
    assert total.shape == (40, 32)
    assert total[:8] == pytest.approx(weight[:8])  # the second tile starts at row 8
    assert total[20, 3] == pytest.approx(weight[20, 3] + weight[12, 3])


@pytest.mark.parametrize(
    ("axes", "expected"),
    [((), [()]), ((1,), [(), (1,)]), ((0, 1), [(), (0,), (1,), (0, 1)])],
)
def test_mirrorings_are_every_combination(
    axes: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    assert list(Tiling((8, 8), 1.0, axes).mirrorings) == expected

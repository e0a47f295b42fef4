from __future__ import annotations

import pytest
import torch

from training.nnunet.learning.warm_start import scale_rate, shrink_and_perturb

OLD = {"weight": torch.tensor([1.0, 3.0]), "steps": torch.tensor(7)}
FRESH = {"weight": torch.tensor([-1.0, 1.0]), "steps": torch.tensor(0)}


@pytest.mark.parametrize(
    ("shrink", "expected"), [(1.0, [1.0, 3.0]), (0.5, [0.0, 2.0]), (0.0, [-1.0, 1.0])]
)
def test_weights_are_mixed(shrink: float, expected: list[float]) -> None:
    mixed = shrink_and_perturb(OLD, FRESH, shrink)
    assert mixed["weight"].tolist() == expected
    assert mixed["steps"].item() == 7


@pytest.mark.parametrize("shrink", [-0.1, 1.1])
def test_a_share_outside_its_range_is_refused(shrink: float) -> None:
    with pytest.raises(ValueError, match=str(shrink)):
        shrink_and_perturb(OLD, FRESH, shrink)


def test_the_rate_is_scaled_where_there_is_one() -> None:
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    poly = PolyLRScheduler(optimizer, 1.0, 10)
    scale_rate(poly, 0.25)
    poly.step(0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    scale_rate(cosine, 0.25)
    assert not hasattr(cosine, "initial_lr")

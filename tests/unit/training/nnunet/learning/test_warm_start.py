from __future__ import annotations

import pytest
import torch

from training.nnunet.learning.warm_start import scale_rate, shrink_and_perturb, with_head

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


def _net(n_classes: int, value: float) -> dict[str, torch.Tensor]:
    return {
        "encoder.weight": torch.full((2, 1), value),
        "decoder.seg_layers.0.weight": value + torch.arange(n_classes * 2.0).reshape(-1, 2, 1, 1),
        "decoder.seg_layers.0.bias": value + torch.arange(float(n_classes)),
    }


def test_a_head_goes_on_by_class_and_begins_fresh_where_there_is_none() -> None:
    old, fresh = _net(3, 100.0), _net(4, 0.0)
    fitted = with_head(old, fresh, (0, 2, -1, 1))
    assert fitted["decoder.seg_layers.0.bias"].tolist() == [100.0, 102.0, 2.0, 101.0]
    weight = fitted["decoder.seg_layers.0.weight"]
    assert weight.shape == fresh["decoder.seg_layers.0.weight"].shape
    assert torch.equal(weight[1], old["decoder.seg_layers.0.weight"][2])
    assert torch.equal(weight[2], fresh["decoder.seg_layers.0.weight"][2])
    assert torch.equal(fitted["encoder.weight"], old["encoder.weight"])


def test_a_head_of_another_width_is_left_for_the_check_of_shapes() -> None:
    old, fresh = _net(3, 1.0), _net(2, 0.0)
    old["decoder.seg_layers.0.weight"] = torch.zeros(3, 5, 1, 1)
    assert with_head(old, fresh, (0, 1))["decoder.seg_layers.0.weight"].shape == (3, 5, 1, 1)

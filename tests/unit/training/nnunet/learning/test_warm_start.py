from __future__ import annotations

from typing import Any

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from tests.unit.training.nnunet.inference.versions import dataset, plans
from training.nnunet.architecture import build_network
from training.nnunet.classes import trainer_class
from training.nnunet.learning.warm_start import (
    head_of,
    scale_rate,
    shrink_and_perturb,
    start_weights,
    with_head,
)

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


CLASSES = {"labels": {"background": 0, "1_lumen": 1, "2_wall": 2}}
UNIONS = {
    "labels": {"background": 0, "2_vessel": [1, 2], "1_lumen": [1]},
    "regions_class_order": [2, 1],
}
OTHERS = {**UNIONS, "labels": {"background": 0, "1_vessel": [1, 2], "2_wall": [2]}}
OTHERS["regions_class_order"] = [1, 2]


@pytest.mark.parametrize(
    ("before", "now", "outputs"), [(CLASSES, UNIONS, 2), (UNIONS, CLASSES, 3), (UNIONS, OTHERS, 2)]
)
def test_where_other_unions_were_learned_the_outputs_begin_fresh(
    before: dict[str, Any], now: dict[str, Any], outputs: int
) -> None:
    checkpoint = {"init_args": {"dataset_json": before}}
    head = head_of(checkpoint, now, None)
    assert head == (-1,) * outputs
    old = {"encoder": torch.ones(4), "decoder.seg_layers.0.weight": torch.ones(3, 8, 1, 1)}
    fresh = {
        "encoder": torch.zeros(4),
        "decoder.seg_layers.0.weight": torch.zeros(outputs, 8, 1, 1),
    }
    found = start_weights(old, fresh, shrink=0.5, head=head)
    assert found is not None
    assert found["encoder"].tolist() == [1.0] * 4
    assert not found["decoder.seg_layers.0.weight"].any()


def test_the_same_unions_go_on_and_so_do_checkpoints_that_say_nothing() -> None:
    for same in (CLASSES, UNIONS):
        assert head_of({"init_args": {"dataset_json": same}}, same, None) is None
        assert head_of({}, same, (0, 2, -1)) == (0, 2, -1)


@pytest.mark.parametrize("before", [False, True])
def test_weights_go_on_where_pixels_are_ignored_from_now_on_or_no_more(before: bool) -> None:
    """nnU-Net's networks have no output for what is ignored: nothing of a head begins fresh."""
    known, open_ = (dataset(**{"1_disc": 1, "2_square": 2, **more}) for more in ({}, {"ignore": 3}))
    old, new = (open_, known) if before else (known, open_)
    trainer = trainer_class("nnUNetTrainer")
    networks = [build_network(trainer, PlansManager(plans()), about) for about in (old, new)]
    weights, fresh = (network.state_dict() for network in networks)
    checkpoint = {"network_weights": weights, "init_args": {"dataset_json": old}}
    head = head_of(checkpoint, new, None)
    assert head is None
    started = start_weights(weights, fresh, shrink=1.0, head=head)
    assert started is not None and started.keys() == fresh.keys()
    assert all(torch.equal(started[key], weights[key]) for key in weights)
    assert not all(torch.equal(fresh[key], weights[key]) for key in weights)

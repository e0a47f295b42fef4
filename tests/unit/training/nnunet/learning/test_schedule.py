from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.lr_scheduler.warmup import Lin_incr_LRScheduler, PolyLRScheduler_offset
from torch.optim.lr_scheduler import CosineAnnealingLR

from training.nnunet.learning.schedule import stretch

OLD, NEW = 100, 30


def rates(make: Callable[[Any], Any], epochs: int, *, old: int | None = None) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    optimizer.step()
    scheduler = make(optimizer)
    if old is not None:
        stretch(scheduler, old, epochs)
    found = []
    for epoch in range(epochs):
        scheduler.step(epoch)
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        lambda n: lambda optimizer: PolyLRScheduler(optimizer, 1.0, n),
        lambda n: lambda optimizer: PolyLRScheduler_offset(optimizer, 1.0, n, 5),
        lambda n: lambda optimizer: CosineAnnealingLR(optimizer, T_max=n),
    ],
)
def test_a_stretched_schedule_equals_one_made_for_that_length(make: Any) -> None:
    stretched = rates(make(OLD), NEW, old=OLD)
    assert stretched == pytest.approx(rates(make(NEW), NEW))
    assert stretched[-1] < 0.1


def test_a_warm_up_stays_as_it_is() -> None:
    stretched = rates(lambda o: Lin_incr_LRScheduler(o, 1.0, 10), 8, old=OLD)
    assert stretched == pytest.approx([0.1 * k for k in range(1, 9)])

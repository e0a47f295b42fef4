"""How training goes on from weights of an earlier version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def shrink_and_perturb(
    old: Mapping[str, torch.Tensor], fresh: Mapping[str, torch.Tensor], shrink: float
) -> dict[str, torch.Tensor]:
    """Old weights moved towards freshly drawn ones.

    Ash & Adams 2020 ("On Warm-Starting Neural Network Training", NeurIPS): weights that have
    settled on few cases generalise worse, after more came, than a fresh start; shrunken and mixed
    with noise of the initial distribution they keep most of what was learned and can move again.

    Args:
        old: The earlier version's state dict.
        fresh: A newly initialised network's, with the same names and shapes.
        shrink: Share of the old weights, in [0, 1]; 1 gives them back unchanged.

    Returns:
        ``shrink * old + (1 - shrink) * fresh``; entries that are not floating point: the old ones.
    """
    if not 0.0 <= shrink <= 1.0:
        raise ValueError(f"shrink must be in [0, 1], got {shrink}")
    return {
        name: torch.lerp(fresh[name].to(value), value, shrink)
        if value.is_floating_point()
        else value.clone()
        for name, value in old.items()
    }


def scale_rate(scheduler: Any, factor: float) -> None:
    """Multiplies the learning rate a schedule starts from; leaves schedules alone without one.

    nnU-Net's schedules compute each rate from ``initial_lr``.
    """
    if hasattr(scheduler, "initial_lr"):
        scheduler.initial_lr *= factor

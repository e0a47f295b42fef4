"""Another learning rate for the pretrained part of a network."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from training.nnunet.networks.pretrained_unet import PretrainedUNet

_SHARE = "share"
"""Of a parameter group: its learning rate as a fraction of the schedule's."""


def rate_groups(network: torch.nn.Module, pretrained_lr: float) -> list[dict[str, Any]]:
    """An optimiser's parameter groups: the pretrained parameters, if there are any, and the rest.

    Args:
        network: With or without torch.compile's wrapper.
        pretrained_lr: Learning rate of pretrained parameters, as a fraction of the others'.
    """
    plain = getattr(network, "_orig_mod", network)
    if not isinstance(plain, PretrainedUNet):
        return [{"params": list(plain.parameters())}]
    pretrained = list(plain.pretrained_parameters())
    ids = {id(parameter) for parameter in pretrained}
    others = [parameter for parameter in plain.parameters() if id(parameter) not in ids]
    return [{"params": others}, {"params": pretrained, _SHARE: pretrained_lr}]


class GroupedPolyRate(PolyLRScheduler):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's schedule; a group of ``rate_groups`` gets its share of the rate."""

    optimizer: torch.optim.Optimizer

    def step(self, current_step: int | None = None) -> None:
        """Sets the rates of an epoch."""
        super().step(current_step)
        for group in self.optimizer.param_groups:
            group["lr"] *= group.get(_SHARE, 1.0)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

"""The number format of training steps on a CPU."""

from __future__ import annotations

import contextlib

import torch


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; others emulate it, at a loss."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def step_autocast(
    device: torch.device, *, bfloat16: bool
) -> contextlib.AbstractContextManager[None]:
    """The context for a network's forward pass in training.

    Args:
        device: Only ``cpu`` is changed: nnU-Net chooses by itself on others.
        bfloat16: Convolutions in bfloat16 where the hardware has it. Weights, gradients and
            optimiser stay float32, and so must the loss: convert the output first.
    """
    if device.type == "cpu" and bfloat16 and has_fast_bfloat16():
        autocast: contextlib.AbstractContextManager[None] = torch.autocast("cpu", torch.bfloat16)
        return autocast
    return contextlib.nullcontext()

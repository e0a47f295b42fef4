"""Where the prediction worker runs its networks."""

from __future__ import annotations

from functools import cache

from training.devices import list_devices


@cache
def prediction_device() -> str:
    """The first GPU, or the CPU; ``NNLOOP_DEVICES`` overrides what is found."""
    return list_devices()[0].name

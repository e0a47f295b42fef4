"""How training goes on from weights of an earlier version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from training.dataset_labels import n_classes, unions_of

_HEADS = "seg_layers"
"""nnU-Net's name of the convolutions that give a decoder's logits."""


def head_of(
    checkpoint: Mapping[str, Any], dataset: Mapping[str, Any], head: Sequence[int] | None
) -> Sequence[int] | None:
    """Which outputs of a checkpoint ours go on from: none where other unions were learned.

    Args:
        checkpoint: To start from; one that does not say its dataset.json learned as we do.
        dataset: dataset.json of what is learned.
        head: As for ``with_head``, of the same unions.
    """
    before = checkpoint.get("init_args", {}).get("dataset_json")
    ours = unions_of(dataset)
    if before is None or unions_of(before) == ours:
        return head
    return (-1,) * (len(ours) or n_classes(dataset))


def start_weights(
    old: Mapping[str, torch.Tensor],
    fresh: Mapping[str, torch.Tensor],
    *,
    shrink: float,
    head: Sequence[int] | None,
) -> dict[str, torch.Tensor] | None:
    """What a network starts from: ``old`` mixed with fresh weights, or with another head.

    Args:
        old: State dict to start from.
        fresh: The network's own.
        shrink: As for ``shrink_and_perturb``; weights with another head are kept as they are.
        head: As for ``with_head``; None: the same classes.

    Returns:
        None when names or shapes differ.
    """
    fitted = old if head is None else with_head(old, fresh, head)
    if {k: v.shape for k, v in fitted.items()} != {k: v.shape for k, v in fresh.items()}:
        return None
    return shrink_and_perturb(fitted, fresh, shrink if head is None else 1.0)


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


def with_head(
    old: Mapping[str, torch.Tensor], fresh: Mapping[str, torch.Tensor], head: Sequence[int]
) -> dict[str, torch.Tensor]:
    """Weights of a network for other classes, its segmentation heads fitted to ours.

    Args:
        old: State dict of a network of nnU-Net's kind: its heads are ``...seg_layers...``.
        fresh: Of ours, newly initialised.
        head: For each of our classes, background first, the class of ``old`` it goes on from; -1
            for none, which begins fresh.

    Returns:
        ``old`` but for the heads; a head that has no such channel begins fresh.
    """
    fitted = dict(old)
    for name, own in fresh.items():
        theirs = old.get(name)
        if f".{_HEADS}." not in f".{name}" or theirs is None or theirs.shape[1:] != own.shape[1:]:
            continue
        rows = [
            theirs[k] if 0 <= k < len(theirs) else own[i].to(theirs) for i, k in enumerate(head)
        ]
        fitted[name] = torch.stack(rows)
    return fitted


def scale_rate(scheduler: Any, factor: float) -> None:
    """Multiplies the learning rate a schedule starts from; leaves schedules alone without one.

    nnU-Net's schedules compute each rate from ``initial_lr``.
    """
    if hasattr(scheduler, "initial_lr"):
        scheduler.initial_lr *= factor

"""WithinLimits: what a trainer must leave alone, for the labels' sake or the machine's."""

from __future__ import annotations

from typing import Any

from training.folds.spec import FoldSpec
from training.nnunet.base_trainer import nnUNetTrainer
from training.nnunet.learning.compiling import missing_compiler, tolerate_failures
from training.nnunet.learning.swapped_flips import at_most, with_swaps
from training.symmetries.symmetries import FULL_TURN, Swap


class WithinLimits(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """Stands before a trainer class in the bases of a new class, as ``LoopTrainer`` does.

    Attributes:
        spec: What to train.
        swaps: Flips with classes exchanged; their axes are not among nnU-Net's mirrored ones.
        max_turn: Degrees.
    """

    spec: FoldSpec
    swaps: tuple[Swap, ...] = ()
    max_turn: float = FULL_TURN

    # nnU-Net's own.
    inference_allowed_mirroring_axes: Any

    _is_told = False

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802
        """The trainer's, with what the symmetries forbid left out.

        Axes to be flipped with classes exchanged are taken out too and kept in ``swaps``: nnU-Net's
        own mirroring and its prediction know none of that.
        """
        rotation, dummy_2d, patch, axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        symmetries = self.spec.symmetries
        plain = symmetries.plain_flips
        self.swaps = tuple(swap for swap in symmetries.swaps if swap[0] in (axes or ()))
        self.max_turn = symmetries.max_turn
        axes = tuple(axis for axis in axes or () if axis in plain)
        allowed = self.inference_allowed_mirroring_axes
        if allowed is not None:
            self.inference_allowed_mirroring_axes = tuple(a for a in allowed if a in plain) or None
        return at_most(rotation, self.max_turn), dummy_2d, patch, axes

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:
        """The trainer's, after flips with classes exchanged."""
        return with_swaps(super().get_training_transforms(*args, **kwargs), self.swaps)

    def _do_i_compile(self) -> bool:
        """nnU-Net's answer, unless there is nothing to compile with."""
        if not super()._do_i_compile():
            return False
        reason = missing_compiler()
        if reason:
            if not self._is_told:  # nnU-Net asks more than once
                self.print_to_log_file(f"Training without torch.compile: {reason}.")
            self._is_told = True
            return False
        tolerate_failures()
        return True

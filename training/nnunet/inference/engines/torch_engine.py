"""TorchEngine: the networks in torch, on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from training.nnunet.inference.engines.engine import Pending
from training.nnunet.inference.tiling import Tiling, Window
from training.nnunet.memory import is_out_of_memory

GPU_BATCH_IMAGES = 8
"""Images of one size that share calls on a GPU: 8 of 256 x 256, mirrored, fill a call."""

_CPU = torch.device("cpu")

_GPU_BATCH_PX = 2**21
"""Pixels in one call on a GPU, 32 tiles of 256 x 256: fills it, and fits 8 GB with nnU-Net's
default network. Halved when memory runs out all the same."""


class TorchEngine:
    """One network per fold. On a CPU tile by tile: larger batches were slower there."""

    name = "torch"

    def __init__(self, networks: Mapping[int, torch.nn.Module], *, device: str) -> None:
        """Takes networks that are on ``device`` already, and puts them into evaluation mode."""
        self._networks = {fold: network.eval() for fold, network in networks.items()}
        self._device = torch.device(device)
        self._batch_px = 1 if self._device.type == "cpu" else _GPU_BATCH_PX

    @property
    def batch_images(self) -> int:
        """1 on a CPU; on a GPU small images share calls."""
        return 1 if self._batch_px == 1 else GPU_BATCH_IMAGES

    @property
    def n_bytes(self) -> int:
        """Bytes of the parameters."""
        return sum(
            parameter.nelement() * parameter.element_size()
            for network in self._networks.values()
            for parameter in network.parameters()
        )

    def start(
        self, images: npt.NDArray[np.float32], folds: Sequence[int], tiling: Tiling
    ) -> Pending:
        """A GPU starts to work at once, a CPU when the logits are asked for.

        Images whose sums do not fit beside the networks are summed in the machine's memory.
        """

        def work() -> list[torch.Tensor]:
            try:
                return self._logits(images, folds, tiling, self._device)
            except RuntimeError as error:
                if self._device.type == "cpu" or not is_out_of_memory(error):
                    raise
            # Outside the except block: until here the traceback held what was allocated.
            torch.cuda.empty_cache()
            return self._logits(images, folds, tiling, _CPU)

        if self._device.type == "cpu":
            return lambda: torch.stack(work()).numpy()
        logits = work()
        # Each by itself: a stack of them would take the GPU's memory twice.
        return lambda: np.stack([of_fold.cpu().numpy() for of_fold in logits])

    def _logits(
        self,
        images: npt.NDArray[np.float32],
        folds: Sequence[int],
        tiling: Tiling,
        home: torch.device,
    ) -> list[torch.Tensor]:
        """Of each fold, on the device ``home``, where the images and the sums are kept."""
        with torch.inference_mode():
            pixels = torch.from_numpy(images).to(home)
            return [self._fold_logits(fold, pixels, tiling) for fold in folds]

    def _fold_logits(self, fold: int, images: torch.Tensor, tiling: Tiling) -> torch.Tensor:
        """(image, class, height, width), summed in float32 (nnU-Net: half, also on a CPU)."""
        home = images.device
        size_hw = (int(images.shape[2]), int(images.shape[3]))
        weight = tiling.weight(size_hw)
        gaussian = None if weight is None else _to(weight, home)
        todo = [
            (image, window, tuple(axis + 1 for axis in axes))
            for image in range(len(images))
            for window in tiling.windows(size_hw)
            for axes in tiling.mirrorings
        ]
        total: torch.Tensor | None = None
        while todo:
            n = max(1, self._batch_px // (tiling.patch_hw[0] * tiling.patch_hw[1]))
            found = self._try(self._networks[fold], images, todo[:n])
            if found is None:
                # Out of memory: smaller calls from now on.
                self._batch_px = min(self._batch_px, n * tiling.patch_hw[0] * tiling.patch_hw[1])
                self._batch_px //= 2
                continue
            if total is None:
                shape = (len(images), found.shape[1], *size_hw)
                total = torch.zeros(shape, device=home)
            for tile, (image, window, axes) in zip(found, todo[:n], strict=True):
                back = torch.flip(tile, axes) if axes else tile
                order = tiling.class_order(tuple(axis - 1 for axis in axes), len(back))
                if order is not None:
                    back = back[list(order)]
                total[(image, slice(None), *window)] += (
                    back if gaussian is None else back * gaussian
                )
            del todo[:n]
        assert total is not None  # noqa: S101 - there is at least one tile
        total /= len(tiling.mirrorings)
        if gaussian is not None:
            total /= _to(tiling.total_weight(size_hw), home)
        return total

    def _try(
        self,
        network: torch.nn.Module,
        images: torch.Tensor,
        todo: Sequence[tuple[int, Window, tuple[int, ...]]],
    ) -> torch.Tensor | None:
        """Logits of some tiles, (tile, class, height, width), on the images' device.

        None when memory ran out.
        """
        try:
            tiles = torch.stack(
                [torch.flip(images[(i, slice(None), *window)], axes) for i, window, axes in todo]
            ).to(self._device)
            with torch.autocast("cuda", enabled=self._device.type == "cuda"):
                logits: torch.Tensor = network(tiles)
            return logits.float().to(images.device)
        except RuntimeError as error:
            if len(todo) == 1 or not is_out_of_memory(error):
                raise
        torch.cuda.empty_cache()
        return None


def _to(array: npt.NDArray[np.float32], device: torch.device) -> torch.Tensor:
    return torch.tensor(array, device=device)

"""FoldPredictor: the networks of a version, warm, each fold's softmax in float32."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.files import read_json
from domain.errors import PredictionError, TrainingError
from domain.prediction import FoldProbabilities
from training.cases import with_channels
from training.folds import FINAL
from training.nnunet.plans import CONFIGURATION
from training.versions import read_version

_SPACING = (999, 1, 1)
"""What nnU-Net's reader of natural images says of every image."""

_MIRROR_AXES = (2, 3)

MAX_CACHED = 2
"""Versions kept warm: champion and challenger."""


class FoldPredictor:
    """One network per fold, kept in memory. Not thread-safe."""

    def __init__(
        self,
        networks: Mapping[int, torch.nn.Module],
        plans: dict[str, Any],
        dataset: dict[str, Any],
        *,
        device: str = "cpu",
        mirroring: bool = False,
        tile_step: float = 0.5,
    ) -> None:
        """Takes networks that are on ``device`` already; see ``load`` for the arguments."""
        self._networks = {fold: network.eval() for fold, network in networks.items()}
        self._device = torch.device(device)
        self._mirroring, self._tile_step = mirroring, tile_step
        self._dataset = dataset
        self._plans = PlansManager(plans)
        self._configuration = self._plans.get_configuration(CONFIGURATION)
        self._labels = self._plans.get_label_manager(dataset)
        self._preprocessor = self._configuration.preprocessor_class(verbose=False)
        self.n_channels = len(dataset["channel_names"])

    @classmethod
    def load(
        cls,
        version_dir: Path,
        *,
        folds: Sequence[int] | None = None,
        device: str = "cpu",
        mirroring: bool | None = None,
        tile_step: float | None = None,
    ) -> FoldPredictor:
        """Loads a packaged version.

        Args:
            version_dir: Written by ``training.versions.package_version``.
            folds: Which folds; None: all of them.
            device: ``cpu``, ``cuda:<i>`` or ``mps``.
            mirroring: Average over mirrored images (4 times the work); None: as the preset says.
            tile_step: Sliding-window step as a fraction of the patch; None: as the preset says.

        Raises:
            PredictionError: A file is missing or broken, or a fold is not in the version.
        """
        version = read_version(version_dir)
        chosen = tuple(version.folds if folds is None else folds)
        if not chosen or not set(chosen) <= set(version.folds):
            raise PredictionError(
                f"{version_dir.name} has folds {list(version.folds)}, asked for {list(chosen)}.",
                remedy="Ask for folds the version has.",
            )
        try:
            plans, dataset = (read_json(version_dir / n) for n in ("plans.json", "dataset.json"))
            networks = {
                fold: load_network(version_dir / f"fold_{fold}" / FINAL, plans, dataset, device)
                for fold in chosen
            }
        except (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
            raise PredictionError(
                f"{version_dir.name} can't be loaded: {error}",
                remedy="Restore the version's folder, or train again.",
            ) from error
        preset = version.preset
        return cls(
            networks,
            plans,
            dataset,
            device=device,
            mirroring=preset.mirror_predict if mirroring is None else mirroring,
            tile_step=preset.tile_step if tile_step is None else tile_step,
        )

    @property
    def folds(self) -> tuple[int, ...]:
        """Fold numbers in the order of ``predict``'s first axis."""
        return tuple(self._networks)

    def predict(self, image: npt.NDArray[Any]) -> FoldProbabilities:
        """Class probabilities of every fold.

        Args:
            image: (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16;
                brought to the model's number of channels.

        Returns:
            (fold, class, height, width) float32 softmax in [0, 1] at the image's size; class 0 is
            background. The mean over folds is the mean of probabilities, not of logits.

        Raises:
            PredictionError: The array is no such image.
        """
        with torch.inference_mode():
            return self._predict(image, self.folds)

    def predict_single_fold(self, image: npt.NDArray[Any], fold: int) -> npt.NDArray[np.float32]:
        """One fold's probabilities (class, height, width), for cases that fold held out."""
        if fold not in self._networks:
            raise PredictionError(f"Fold {fold} is not loaded; loaded are {list(self.folds)}.")
        with torch.inference_mode():
            single: npt.NDArray[np.float32] = self._predict(image, (fold,))[0]
        return single

    def _predict(self, image: npt.NDArray[Any], folds: Sequence[int]) -> FoldProbabilities:
        try:
            pixels = with_channels(image, self.n_channels)
        except TrainingError as error:
            raise PredictionError(str(error), remedy=error.remedy) from error
        channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        properties: dict[str, Any] = {"spacing": _SPACING}
        data, _, properties = self._preprocessor.run_case_npy(
            channels[:, None].astype(np.float32),
            None,
            properties,
            self._plans,
            self._configuration,
            self._dataset,
        )
        padded, unpad = pad_nd_image(
            torch.from_numpy(data).to(self._device),
            self._configuration.patch_size,
            "constant",
            {"value": 0},
            True,
            None,
        )
        result = np.empty(
            (len(folds), self._labels.num_segmentation_heads, *image.shape[:2]), np.float32
        )
        for i, fold in enumerate(folds):
            logits = self._sliding_window(self._networks[fold], padded)
            logits = logits[(slice(None), *unpad[1:])].cpu()
            result[i] = self._full_size(logits, properties)
        return result

    def _sliding_window(self, network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        """Logits (class, 1, h, w) float32 of a preprocessed image (channel, 1, h, w).

        nnU-Net sums the tiles in half precision, also on a CPU; this sums in float32.
        """
        patch = tuple(self._configuration.patch_size)
        weight = compute_gaussian(
            patch, value_scaling_factor=10, dtype=torch.float32, device=self._device
        )
        total = torch.zeros(
            (self._labels.num_segmentation_heads, *image.shape[1:]), device=self._device
        )
        weights = torch.zeros(tuple(image.shape[1:]), device=self._device)
        steps = compute_steps_for_sliding_window(image.shape[2:], patch, self._tile_step)
        for y, x in itertools.product(*steps):
            window = (slice(None), slice(None), slice(y, y + patch[0]), slice(x, x + patch[1]))
            total[window] += self._tile(network, image[window][:, 0][None])[0][:, None] * weight
            weights[window[1:]] += weight
        return total / weights

    def _tile(self, network: torch.nn.Module, tile: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", enabled=self._device.type == "cuda"):
            logits: torch.Tensor = network(tile).float()
            if not self._mirroring:
                return logits
            for axes in _mirrorings():
                logits = logits + torch.flip(network(torch.flip(tile, axes)), axes).float()
        return logits / 4

    def _full_size(
        self, logits: torch.Tensor, properties: dict[str, Any]
    ) -> npt.NDArray[np.float32]:
        """Back to the image's size: resample, softmax, undo crop and transpose."""
        spacing = [_SPACING[i] for i in self._plans.transpose_forward]
        resampled = self._configuration.resampling_fn_probabilities(
            logits,
            properties["shape_after_cropping_and_before_resampling"],
            [spacing[0], *self._configuration.spacing],
            spacing,
        )
        probabilities = torch.softmax(torch.as_tensor(resampled).float(), dim=0).numpy()
        probabilities = self._labels.revert_cropping_on_probabilities(
            probabilities,
            properties["bbox_used_for_cropping"],
            properties["shape_before_cropping"],
        )
        axes = [0, *(i + 1 for i in self._plans.transpose_backward)]
        full: npt.NDArray[np.float32] = np.asarray(probabilities).transpose(axes)[:, 0]
        return full


def load_network(
    checkpoint: Path, plans: dict[str, Any], dataset: dict[str, Any], device: str
) -> torch.nn.Module:
    """The network of one fold in evaluation mode, built from the plans.

    Reads with ``weights_only``: a checkpoint can't run code.
    """
    manager = PlansManager(plans)
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["network_weights"]
    network: torch.nn.Module = nnUNetTrainer.build_network_architecture(
        manager,
        manager.get_configuration(CONFIGURATION),
        len(dataset["channel_names"]),
        manager.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    network.load_state_dict(weights)
    return network.to(device).eval()


@lru_cache(maxsize=MAX_CACHED)
def load_cached(
    version_dir: Path,
    *,
    folds: tuple[int, ...] | None = None,
    device: str = "cpu",
    mirroring: bool | None = None,
    tile_step: float | None = None,
) -> FoldPredictor:
    """``FoldPredictor.load``, the most recent ``MAX_CACHED`` kept warm. Versions never change."""
    return FoldPredictor.load(
        version_dir, folds=folds, device=device, mirroring=mirroring, tile_step=tile_step
    )


def _mirrorings() -> Iterator[tuple[int, ...]]:
    for n in range(1, len(_MIRROR_AXES) + 1):
        yield from itertools.combinations(_MIRROR_AXES, n)

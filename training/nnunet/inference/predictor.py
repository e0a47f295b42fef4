"""FoldPredictor: the networks of a version, warm, each fold's softmax in float32."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from domain.errors import PredictionError
from domain.prediction import FoldProbabilities
from training.nnunet.inference.model import EngineName, Model
from training.nnunet.inference.stream import predict_stream
from training.nnunet.inference.tiling import Tiling
from training.nnunet.inference.warm import WarmModels
from training.versions import read_version

MAX_CACHED = 2
"""Versions kept warm: champion and challenger."""

DEFAULT_CACHE_BYTES = 2 * 2**30
"""Memory for warm versions: nnU-Net's default network with 5 folds takes 0.7 GB, twice that while
OpenVINO's networks are compared with torch's."""

T = TypeVar("T")

_warm: WarmModels[Model] = WarmModels(MAX_CACHED, DEFAULT_CACHE_BYTES)


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
        """Takes networks that are on ``device`` already and runs them in torch."""
        model = Model.of_networks(networks, plans, dataset, device=device, engine="torch")
        self._use(model, mirroring=mirroring, tile_step=tile_step)

    def _use(self, model: Model, *, mirroring: bool, tile_step: float) -> None:
        self._model = model
        axes = model.mirror_axes if mirroring else ()
        self._tiling = Tiling(model.patch_hw, tile_step, axes)
        self.n_channels = model.preparation.n_channels

    @classmethod
    def load(
        cls,
        version_dir: Path,
        *,
        folds: Sequence[int] | None = None,
        device: str = "cpu",
        mirroring: bool | None = None,
        tile_step: float | None = None,
        engine: EngineName = "auto",
    ) -> FoldPredictor:
        """Loads a packaged version.

        Args:
            version_dir: Written by ``training.versions.package_version``.
            folds: Which folds; None: all of them.
            device: ``cpu``, ``cuda:<i>`` or ``mps``.
            mirroring: Average over mirrored images (4 times the work), along the axes the version
                was trained mirrored along; None: as the preset says.
            tile_step: Sliding-window step as a fraction of the patch, in (0, 1]; None: as the
                preset says.
            engine: What runs the networks on a CPU.

        Raises:
            PredictionError: A file is missing or broken, a fold is not in the version, or the
                version predicts something that nnloop does not read.
        """
        model = Model.load(version_dir, folds=folds, device=device, engine=engine)
        return cls._of(model, version_dir, mirroring, tile_step)

    @classmethod
    def _of(
        cls, model: Model, version_dir: Path, mirroring: bool | None, tile_step: float | None
    ) -> FoldPredictor:
        preset = read_version(version_dir).preset
        predictor = cls.__new__(cls)
        predictor._use(
            model,
            mirroring=preset.mirror_predict if mirroring is None else mirroring,
            tile_step=preset.tile_step if tile_step is None else tile_step,
        )
        return predictor

    @property
    def folds(self) -> tuple[int, ...]:
        """Fold numbers in the order of ``predict``'s first axis."""
        return self._model.folds

    @property
    def engine(self) -> str:
        """What runs the networks now: ``torch`` or ``openvino``."""
        return self._model.engine.name

    def predict(self, image: npt.NDArray[Any]) -> FoldProbabilities:
        """Class probabilities of every fold; their mean over folds costs nothing more.

        Args:
            image: (height, width) or (height, width, channel), uint8 or uint16; brought to the
                model's number of channels.

        Returns:
            (fold, class, height, width) float32 softmax in [0, 1] at the image's size; class 0 is
            background. The mean over folds is the mean of probabilities, not of logits.

        Raises:
            PredictionError: The array is no such image.
        """
        return self._predict(image, self.folds)

    def predict_single_fold(self, image: npt.NDArray[Any], fold: int) -> npt.NDArray[np.float32]:
        """One fold's probabilities (class, height, width), for cases that fold held out."""
        if fold not in self.folds:
            raise PredictionError(
                f"Fold {fold} is not loaded; loaded are {list(self.folds)}.",
                remedy="Ask for folds the version has.",
            )
        single: npt.NDArray[np.float32] = self._predict(image, (fold,))[0]
        return single

    def predict_stream(
        self, items: Iterable[T], load: Callable[[T], npt.NDArray[Any]]
    ) -> Generator[tuple[T, Future[FoldProbabilities]], None, None]:
        """Predicts one image after the other; the next ones are loaded while the networks run.

        On a GPU small images of one size share calls. Closing the iterator stops the loading.

        Args:
            items: What to predict; read a few ahead.
            load: Item -> image as for ``predict``. Runs in another thread, one call at a time.

        Yields:
            Each item in order with its probabilities as of ``predict``. The future is done; its
            ``result()`` raises what ``load`` raised, or PredictionError for what is no image.
        """
        return predict_stream(self._model, self._tiling, items, load)

    def _predict(self, image: npt.NDArray[Any], folds: Sequence[int]) -> FoldProbabilities:
        preparation = self._model.preparation
        prepared = preparation.prepare(image)
        pending = self._model.engine.start(prepared.pixels[None], folds, self._tiling)
        return preparation.probabilities(pending()[:, 0], prepared)


def load_cached(
    version_dir: Path,
    *,
    device: str = "cpu",
    mirroring: bool | None = None,
    tile_step: float | None = None,
    engine: EngineName = "auto",
    max_bytes: int = DEFAULT_CACHE_BYTES,
) -> FoldPredictor:
    """``FoldPredictor.load`` with all folds, the networks used last kept warm.

    At most ``MAX_CACHED`` versions in at most ``max_bytes``; the newest stays in any case. Versions
    never change. Other mirroring or another tile step share the networks.
    """
    _warm.max_bytes = max_bytes
    model = _warm.get(
        (version_dir, device, engine),
        lambda: Model.load(version_dir, folds=None, device=device, engine=engine),
    )
    return FoldPredictor._of(model, version_dir, mirroring, tile_step)

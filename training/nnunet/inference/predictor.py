"""FoldPredictor: the networks of a version, warm, each fold's softmax in float32."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from domain.errors import PredictionError
from domain.prediction import FoldProbabilities
from training.nnunet.inference.engines.cpu_engine import CpuEngine
from training.nnunet.inference.maps import DEFAULT_IMAGE_BYTES, FoldMaps
from training.nnunet.inference.model import EngineName, Model
from training.nnunet.inference.networks import Networks, TiledNetworks
from training.nnunet.inference.proof import Score, held_out_cases, quicker
from training.nnunet.inference.stream import predict_stream
from training.nnunet.inference.tiling import Tiling
from training.nnunet.inference.warm import WarmModels
from training.symmetries.symmetries import Swap

MAX_CACHED = 2
"""Versions kept warm: champion and challenger."""

DEFAULT_CACHE_BYTES = 2 * 2**30
"""Memory for warm versions: nnU-Net's default network with 5 folds takes 0.7 GB, twice that while
OpenVINO's networks are compared with torch's."""

T = TypeVar("T")

_warm: WarmModels[Networks] = WarmModels(MAX_CACHED, DEFAULT_CACHE_BYTES)


class FoldPredictor:
    """One network per fold, of an ensemble those of all members, in memory. Not thread-safe.

    ``image_bytes`` is the memory for the maps of one image; it may be set.
    """

    image_bytes: int

    def __init__(
        self,
        networks: Mapping[int, torch.nn.Module],
        plans: dict[str, Any],
        dataset: dict[str, Any],
        *,
        device: str = "cpu",
        mirror_axes: Sequence[int] = (),
        swaps: Sequence[Swap] = (),
        tile_step: float = 0.5,
    ) -> None:
        """Takes networks that are on ``device`` already and runs them in torch.

        Args:
            networks: Fold -> network.
            plans: plans.json.
            dataset: dataset.json.
            device: torch's name of the networks' device.
            mirror_axes: Average over images mirrored along these axes, 0 = rows, 1 = columns.
            swaps: Classes that change places when an axis is mirrored.
            tile_step: Sliding-window step as a fraction of the patch, in (0, 1].
        """
        model = Model.of_networks(networks, plans, dataset, device=device, engine="torch")
        tiling = Tiling(model.patch_hw, tile_step, tuple(mirror_axes), tuple(swaps))
        self._use(TiledNetworks(Networks((model,)), (tiling,)))

    def _use(self, networks: TiledNetworks) -> None:
        self._tiled = networks
        self.image_bytes = DEFAULT_IMAGE_BYTES
        self.n_channels = networks.networks.models[0].preparation.n_channels

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
            version_dir: Written by ``training.versions.version_folder.package_version``.
            folds: Which folds; None: all of them.
            device: ``cpu``, ``cuda:<i>`` or ``mps``.
            mirroring: Average over mirrored images (4 times the work), along the axes the version
                was trained mirrored along; None: as the preset says, of an ensemble each member's.
            tile_step: Sliding-window step as a fraction of the patch, in (0, 1]; None: likewise.
            engine: What runs the networks on a CPU.

        Raises:
            DeviceError: The device is not there.
            PredictionError: A file is missing or broken, a fold is not in the version, or the
                version predicts something that nnloop does not read.
        """
        networks = Networks.load(version_dir, folds=folds, device=device, engine=engine)
        return cls._of(networks, mirroring, tile_step)

    @classmethod
    def _of(
        cls, networks: Networks, mirroring: bool | None, tile_step: float | None
    ) -> FoldPredictor:
        predictor = cls.__new__(cls)
        predictor._use(TiledNetworks.of(networks, mirroring=mirroring, tile_step=tile_step))
        return predictor

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds that ``predict_single_fold`` takes; also the order of ``predict``'s first axis.

        That of an ensemble has the folds of all its members, one member after the other.
        """
        return self._tiled.networks.folds

    @property
    def engine(self) -> str:
        """What runs the networks now: ``torch`` or ``openvino``, of an ensemble maybe both."""
        names = dict.fromkeys(model.engine.name for model in self._tiled.networks.models)
        return ", ".join(names)

    def prove_bfloat16(self, version_dir: Path, score: Score) -> None:
        """Lets OpenVINO compute in bfloat16 once it has shown itself harmless, and quicker.

        On CPUs that have it, and for a version of one model whose engine chooses itself. Works in a
        thread, which begins when OpenVINO answers; asking again changes nothing.

        Args:
            version_dir: Where it was loaded from; its held-out cases are read from its workspace.
            score: What ranks images, of their (fold, class, height, width) maps.
        """
        models = self._tiled.networks.models
        if len(models) == 1 and isinstance(models[0].engine, CpuEngine):
            cases = partial(held_out_cases, version_dir)
            models[0].engine.improve(
                partial(quicker, models[0].preparation, models[0].folds, cases, score)
            )

    def predict(self, image: npt.NDArray[Any]) -> FoldProbabilities:
        """Class probabilities of every fold; their mean over folds costs nothing more.

        Args:
            image: (height, width) or (height, width, channel), uint8 or uint16; brought to the
                model's number of channels.

        Returns:
            (fold, class, height, width) float32 softmax in [0, 1] at the image's size; class 0 is
            background. The mean over folds is the mean of probabilities, not of logits. Of an
            ensemble: the maps of all members, of which each member counts alike in the mean.

        Raises:
            PredictionError: The array is no such image.
        """
        return self.predict_maps(image).whole()

    def predict_maps(self, image: npt.NDArray[Any]) -> FoldMaps:
        """What ``predict`` gives, in blocks of rows within ``image_bytes``; errors as there."""
        return self._bounded.start([self._tiled.prepare(image)])(0)

    def predict_single_fold(self, image: npt.NDArray[Any], fold: int) -> npt.NDArray[np.float32]:
        """One fold's probabilities (class, height, width), for cases that fold held out.

        A fold of an ensemble is the mean over the members, each by its own fold.
        """
        if fold not in self.folds:
            raise PredictionError(
                f"Fold {fold} is not loaded; loaded are {list(self.folds)}.",
                remedy="Ask for folds the version has.",
            )
        return self._bounded.held_out(self._tiled.prepare(image), fold)

    def predict_stream(
        self,
        items: Iterable[T],
        load: Callable[[T], npt.NDArray[Any]],
        *,
        with_views: bool = False,
    ) -> Generator[tuple[T, Future[FoldMaps]], None, None]:
        """Predicts one image after the other; the next ones are loaded while the networks run.

        On a GPU small images of one size share calls. Closing the iterator stops the loading.

        Args:
            items: What to predict; read a few ahead.
            load: Item -> image as for ``predict``. Runs in another thread, one call at a time.
            with_views: Of a version with a single network, its views of mirrored images as well
                (``FoldMaps.views``), for two or three more passes.

        Yields:
            Each item in order with its maps as of ``predict_maps``. The future is done; its
            ``result()`` raises what ``load`` raised, PredictionError for what is no image, or what
            the networks raised: an item that fails stops no other.
        """
        return predict_stream(replace(self._bounded, with_views=with_views), items, load)

    @property
    def _bounded(self) -> TiledNetworks:
        return replace(self._tiled, image_bytes=self.image_bytes)


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
    networks = _warm.get(
        (version_dir, device, engine),
        lambda: Networks.load(version_dir, folds=None, device=device, engine=engine),
    )
    return FoldPredictor._of(networks, mirroring, tile_step)

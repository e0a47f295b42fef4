"""CpuEngine: torch, until OpenVINO has shown itself equal on this model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from training.nnunet.inference.engines.engine import Engine, FoldLogits, Pending
from training.nnunet.inference.painting import sigmoid
from training.nnunet.inference.tiling import Tiling

logger = logging.getLogger(__name__)

LIMIT = 1e-3
"""Largest difference of a class probability up to which two engines count as equal. Float32 engines
differ by about 1e-5; one that computes in bfloat16 by 3e-2."""

Improve: TypeAlias = Callable[[Engine], Engine | None]


class CpuEngine:
    """Converts in the background; each engine's answer on real images decides.

    The candidate is compared on a generated tile when it is ready, and on the first tile of the
    first image after that. It takes over when both agree in every fold, and torch's networks are
    then given up. Otherwise torch goes on, and the log says why.
    """

    def __init__(
        self,
        reference: Engine,
        make_candidate: Callable[[], Engine],
        *,
        folds: Sequence[int],
        n_channels: int,
        background: bool = True,
        has_unions: bool = False,
    ) -> None:
        """Starts to make the candidate.

        Args:
            reference: The engine to trust.
            make_candidate: Makes the quicker engine; a RuntimeError means that it can't.
            folds: Folds of both.
            n_channels: Channels of an image.
            background: False: the first prediction waits for the candidate.
            has_unions: Whether each output is a chance by itself, and no class of several.
        """
        self._active, self._has_unions = reference, has_unions
        self._folds, self._n_channels = tuple(folds), n_channels
        self._make_candidate: Callable[[], Engine] | None = make_candidate
        self._candidate: Engine | None = None
        self._improve: Improve | None = None
        self._improver: threading.Thread | None = None
        self._better: Engine | None = None
        self._is_settled = self._took_over = False
        # Not a daemon: a thread inside the converter must not outlive the interpreter.
        self._maker = threading.Thread(target=self._make, name="convert networks")
        self._background = background
        self._maker.start()

    @property
    def name(self) -> str:
        """The engine that answers now."""
        return self._active.name

    @property
    def active(self) -> Engine:
        """What answers now."""
        return self._active

    @property
    def batch_images(self) -> int:
        """That of the engine that answers now."""
        return self._active.batch_images

    @property
    def n_bytes(self) -> int:
        """Both engines' while both are there."""
        others = (self._candidate, self._better)
        return self._active.n_bytes + sum(other.n_bytes for other in others if other)

    def start(
        self, images: npt.NDArray[np.float32], folds: Sequence[int], tiling: Tiling
    ) -> Pending:
        """Starts the engine that answers now; the first image after the candidate decides."""
        if not self._is_settled:
            self._settle(images, tiling)
        self._take_better()
        return self._active.start(images, folds, tiling)

    def improve(self, improve: Improve) -> None:
        """Looks for a still quicker engine, in a thread, once the candidate answers. Asked once.

        Args:
            improve: The engine that answers -> a quicker one that has shown itself harmless, or
                None. It may ask the engine while others do.
        """
        self._improve = self._improve or improve

    def _take_better(self) -> None:
        if self._improver is None:
            if self._improve is not None and self._is_settled and self._took_over:
                self._improver = threading.Thread(target=self._look, name="improve networks")
                self._improver.start()
        elif self._better is not None:
            self._active, self._better = self._better, None

    def _look(self) -> None:
        assert self._improve is not None  # noqa: S101 - the thread starts with it
        try:
            self._better = self._improve(self._active)
        except Exception:
            # What answers now goes on answering.
            logger.exception("No quicker engine than %s was found.", self._active.name)

    def _make(self) -> None:
        # What makes it holds torch's networks, which are given up once it answers.
        make, self._make_candidate = self._make_candidate, None
        assert make is not None  # noqa: S101 - called once
        try:
            candidate = make()
        except RuntimeError as error:  # OpenVINO's own errors are RuntimeErrors
            first_line = (str(error).splitlines() or [""])[0]
            logger.warning("Predicting with torch: OpenVINO can't run the network: %s", first_line)
            return
        self._candidate = candidate

    def _settle(self, images: npt.NDArray[np.float32], tiling: Tiling) -> None:
        if self._background and self._maker.is_alive():
            return
        self._maker.join()
        self._is_settled = True
        candidate, self._candidate = self._candidate, None
        if candidate is None:
            return
        size_hw = (int(images.shape[2]), int(images.shape[3]))
        window = (slice(0, 1), slice(None), *tiling.windows(size_hw)[0])
        tiles = (generated_tile(self._n_channels, tiling.patch_hw), images[window])
        single = Tiling(tiling.patch_hw, 1.0, ())
        difference = max(self._difference(candidate, tile, single) for tile in tiles)
        if difference < LIMIT:
            logger.info(
                "Predicting with %s: equal to torch within %.1e.", candidate.name, difference
            )
            self._active, self._took_over = candidate, True
        else:
            logger.warning(
                "Predicting with torch: %s differs from it by %.1e in a probability.",
                candidate.name,
                difference,
            )

    def _difference(
        self, candidate: Engine, tile: npt.NDArray[np.float32], single: Tiling
    ) -> float:
        """Largest difference of a probability in any fold; infinite where one is not a number."""
        tile = np.ascontiguousarray(tile)
        chances = sigmoid if self._has_unions else _softmax
        expected = chances(self._active.start(tile, self._folds, single)())
        got = chances(candidate.start(tile, self._folds, single)())
        difference = float(np.abs(expected - got).max())
        return difference if np.isfinite(difference) else np.inf


def generated_tile(n_channels: int, patch_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Smooth shapes in noise with mean 0 and deviation 1: (1, channel, height, width) float32."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: patch_hw[0], : patch_hw[1]] / 16.0
    tile = np.sin(y) * np.cos(x) + 0.5 * rng.standard_normal((1, n_channels, *patch_hw))
    return np.asarray((tile - tile.mean()) / tile.std(), dtype=np.float32)


def _softmax(logits: FoldLogits) -> FoldLogits:
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities: FoldLogits = powers / powers.sum(axis=2, keepdims=True)
    return probabilities

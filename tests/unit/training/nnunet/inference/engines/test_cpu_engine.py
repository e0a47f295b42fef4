from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.nnunet.inference.engines.cpu_engine import CpuEngine, generated_tile
from training.nnunet.inference.engines.engine import FoldLogits, Pending
from training.nnunet.inference.tiling import Tiling

TILING = Tiling((8, 8), 0.5, (0, 1))
LOGGER = "training.nnunet.inference.engines.cpu_engine"


class FakeEngine:
    """Two classes; the second's logit is the image times a factor per fold, plus an error."""

    batch_images = 1
    n_bytes = 100

    def __init__(
        self, name: str, error: Callable[[npt.NDArray[Any]], npt.NDArray[Any] | float]
    ) -> None:
        self.name, self.error, self.calls = name, error, 0

    def start(self, images: npt.NDArray[Any], folds: Sequence[int], tiling: Tiling) -> Pending:
        self.calls += 1
        second = np.stack([images[:, 0] * (fold + 1) + self.error(images[:, 0]) for fold in folds])
        logits: FoldLogits = np.stack([np.zeros_like(second), second], axis=2)
        return lambda: logits.astype(np.float32)


def _engine(
    error: Callable[[npt.NDArray[Any]], npt.NDArray[Any] | float],
) -> tuple[CpuEngine, FakeEngine]:
    reference = FakeEngine("torch", lambda _: 0.0)
    candidate = FakeEngine("openvino", error)
    made = CpuEngine(reference, lambda: candidate, folds=(0, 2), n_channels=1, background=False)
    return made, candidate


IMAGE = np.linspace(-2, 2, 12 * 10, dtype=np.float32).reshape(1, 1, 12, 10)


def test_an_equal_engine_takes_over_at_the_first_image(caplog: pytest.LogCaptureFixture) -> None:
    engine, candidate = _engine(lambda _: 1e-4)
    assert engine.name == "torch"
    with caplog.at_level(logging.INFO, LOGGER):
        logits = engine.start(IMAGE, (2,), TILING)()
    assert engine.name == "openvino"
    assert engine.n_bytes == 100
    assert logits[0, 0, 1] == pytest.approx(3 * IMAGE[0, 0] + 1e-4)
    assert "equal to torch" in caplog.text
    checks = candidate.calls
    engine.start(IMAGE, (2,), TILING)
    assert candidate.calls == checks + 1  # checked once


@pytest.mark.parametrize(
    "error",
    [
        lambda _: 0.1,  # everywhere
        lambda x: np.where(x == IMAGE[0, 0, 3, 3], 0.1, 0.0),  # at one pixel of the real image
        lambda _: np.nan,
    ],
)
def test_an_engine_that_differs_is_never_used(
    error: Callable[[npt.NDArray[Any]], npt.NDArray[Any] | float], caplog: pytest.LogCaptureFixture
) -> None:
    engine, candidate = _engine(error)
    expected = FakeEngine("torch", lambda _: 0.0).start(IMAGE, (0, 2), TILING)()
    for _ in range(2):
        np.testing.assert_array_equal(engine.start(IMAGE, (0, 2), TILING)(), expected)
    assert engine.name == "torch"
    assert caplog.text.count("openvino differs from it") == 1
    assert candidate.calls <= 2


def test_a_network_that_can_not_be_converted_stays_with_torch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> FakeEngine:
        raise RuntimeError("No conversion rule for aten::strange\nand more")

    engine = CpuEngine(
        FakeEngine("torch", lambda _: 0.0), fail, folds=(0,), n_channels=1, background=False
    )
    engine.start(IMAGE, (0,), TILING)
    assert engine.name == "torch"
    assert "can't run the network: No conversion rule for aten::strange" in caplog.text


def test_nobody_waits_for_a_conversion_in_the_background() -> None:
    may_end = threading.Event()

    def convert() -> FakeEngine:
        may_end.wait(10)
        return FakeEngine("openvino", lambda _: 0.0)

    engine = CpuEngine(FakeEngine("torch", lambda _: 0.0), convert, folds=(0,), n_channels=1)
    engine.start(IMAGE, (0,), TILING)
    assert engine.name == "torch"
    may_end.set()
    engine._maker.join()
    assert engine.n_bytes == 200  # both are there
    engine.start(IMAGE, (0,), TILING)
    assert engine.name == "openvino"


def test_the_generated_tile_looks_like_a_normalized_image() -> None:
    tile = generated_tile(3, (40, 56))
    assert (tile.shape, tile.dtype) == ((1, 3, 40, 56), np.dtype(np.float32))
    assert abs(tile.mean()) < 1e-5
    assert tile.std() == pytest.approx(1, abs=1e-5)

"""Both engines against a network that is told what to do."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from tests.unit.converters.shapes import size_of
from training.nnunet.inference.engines import openvino_engine, torch_engine
from training.nnunet.inference.engines.engine import Engine
from training.nnunet.inference.engines.openvino_engine import OpenVinoEngine
from training.nnunet.inference.engines.torch_engine import TorchEngine
from training.nnunet.inference.tiling import Tiling

PATCH = (16, 24)


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.InstanceNorm2d(4, affine=True),
        nn.LeakyReLU(),
        nn.Conv2d(4, 3, 3, padding=1),
    ).eval()


@pytest.fixture(scope="module")
def networks() -> dict[int, nn.Module]:
    return {0: _network(0), 4: _network(4)}


@pytest.fixture(scope="module", params=["torch", "openvino", "openvino, 3 threads"])
def engine(request: pytest.FixtureRequest, networks: dict[int, nn.Module]) -> Engine:
    if request.param == "torch":
        return TorchEngine(networks, device="cpu")
    threads = 3 if "3" in request.param else 1
    return OpenVinoEngine(networks, n_channels=2, patch_hw=PATCH, threads=threads)


def _images(n: int, height: int, width: int) -> npt.NDArray[Any]:
    return np.random.default_rng(1).normal(size=(n, 2, height, width)).astype(np.float32)


def _expected(network: nn.Module, image: npt.NDArray[Any], tiling: Tiling) -> npt.NDArray[Any]:
    """nnU-Net's sliding window, written down plainly."""
    size_hw = size_of(image)
    weight = tiling.weight(size_hw)
    weight = np.ones(PATCH, np.float32) if weight is None else weight
    total, weights = np.zeros((3, *size_hw)), np.zeros(size_hw)
    for rows, columns in tiling.windows(size_hw):
        tile = torch.tensor(image[None, :, rows, columns])
        with torch.no_grad():
            logits = [
                torch.flip(network(torch.flip(tile, axes)), axes)
                for axes in ([a + 2 for a in m] for m in tiling.mirrorings)
            ]
        total[:, rows, columns] += torch.stack(logits).mean(0)[0].numpy() * weight
        weights[rows, columns] += weight
    return total / weights


@pytest.mark.parametrize("axes", [(), (1,), (0, 1)])
@pytest.mark.parametrize("size_hw", [PATCH, (16, 40), (37, 50)])
def test_logits_are_those_of_a_plain_sliding_window(
    engine: Engine,
    networks: dict[int, nn.Module],
    axes: tuple[int, ...],
    size_hw: tuple[int, int],
) -> None:
    images, tiling = _images(2, *size_hw), Tiling(PATCH, 0.5, axes)
    logits = engine.start(images, (4, 0), tiling)()
    assert logits.dtype == np.float32
    assert logits.shape == (2, 2, 3, *size_hw)
    for fold, found in zip((4, 0), logits, strict=True):
        for image, of_image in zip(images, found, strict=True):
            expected = _expected(networks[fold], image, tiling)
            np.testing.assert_allclose(of_image, expected, atol=1e-4)


@pytest.mark.parametrize("size_hw", [PATCH, (37, 50)])
def test_a_mirrored_axis_may_exchange_classes(
    engine: Engine, networks: dict[int, nn.Module], size_hw: tuple[int, int]
) -> None:
    """The mean over flips with the maps exchanged, of which a flip makes the same again."""
    images = _images(1, *size_hw)
    tiling = Tiling(PATCH, 0.5, (0, 1), ((1, 1, 2),))
    plain = Tiling(PATCH, 0.5, ())
    logits = engine.start(images, (0,), tiling)()[0, 0]
    if size_hw == PATCH:
        expected = []
        for axes in tiling.mirrorings:
            flips = tuple(axis + 1 for axis in axes)
            flipped = np.ascontiguousarray(np.flip(images[0], flips))
            found = np.flip(engine.start(flipped[None], (0,), plain)()[0, 0], flips)
            expected.append(found[[0, 2, 1]] if 1 in axes else found)
        np.testing.assert_allclose(logits, np.mean(expected, axis=0), atol=1e-4)
    other = engine.start(np.ascontiguousarray(images[:, :, :, ::-1]), (0,), tiling)()[0, 0]
    assert np.abs(logits[[0, 2, 1]] - logits).max() > 1e-2
    if size_hw == PATCH:
        np.testing.assert_allclose(other[[0, 2, 1], :, ::-1], logits, atol=1e-4)


def test_equal_images_give_equal_bits(engine: Engine) -> None:
    images, tiling = _images(1, 37, 50), Tiling(PATCH, 0.5, (0, 1))
    first = engine.start(images, (0, 4), tiling)()
    for _ in range(3):
        np.testing.assert_array_equal(engine.start(images, (0, 4), tiling)(), first)
    np.testing.assert_array_equal(engine.start(images, (4,), tiling)()[0], first[1])


def test_calls_may_overlap(engine: Engine) -> None:
    images, tiling = _images(2, 37, 50), Tiling(PATCH, 0.5, (0,))
    one, two = (engine.start(images[i : i + 1], (0,), tiling) for i in range(2))
    together = engine.start(images, (0,), tiling)()
    np.testing.assert_array_equal(two()[:, 0], together[:, 1])
    np.testing.assert_array_equal(one()[:, 0], together[:, 0])


def test_large_images_sum_their_mirrorings_one_after_the_other(
    networks: dict[int, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OpenVinoEngine(networks, n_channels=2, patch_hw=PATCH, threads=2)
    images, tiling = _images(1, 37, 50), Tiling(PATCH, 0.5, (0, 1))
    split = own.start(images, (0, 4), tiling)()
    monkeypatch.setattr(openvino_engine, "SPLIT_BYTES", 0)
    np.testing.assert_allclose(own.start(images, (0, 4), tiling)(), split, atol=1e-5)


def test_memory_is_told(engine: Engine, networks: dict[int, nn.Module]) -> None:
    n_parameters = sum(p.nelement() for net in networks.values() for p in net.parameters())
    assert n_parameters * 4 <= engine.n_bytes <= n_parameters * 8


class _Greedy(nn.Module):  # type: ignore[misc]
    """Runs out of memory above a number of tiles, as a GPU does."""

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network, self.most = network, most
        self.sizes: list[int] = []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(tiles))
        if len(tiles) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        result: torch.Tensor = self.network(tiles)
        return result


def test_out_of_memory_halves_the_calls_and_goes_on(
    networks: dict[int, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = _Greedy(networks[0], most=3)
    own = TorchEngine({0: greedy}, device="cpu")
    monkeypatch.setattr(own, "_batch_px", 8 * PATCH[0] * PATCH[1])
    assert own.batch_images == torch_engine.GPU_BATCH_IMAGES
    images, tiling = _images(2, 37, 50), Tiling(PATCH, 0.5, (0, 1))
    logits = own.start(images, (0,), tiling)()
    expected = TorchEngine(networks, device="cpu").start(images, (0,), tiling)()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert greedy.sizes[:3] == [8, 4, 2]
    assert set(greedy.sizes[2:]) <= {1, 2}
    own = TorchEngine({0: _Greedy(networks[0], most=0)}, device="cpu")
    with pytest.raises(torch.OutOfMemoryError):
        own.start(images, (0,), tiling)()


def test_sums_that_do_not_fit_on_the_gpu_are_kept_in_the_machines_memory(
    networks: dict[int, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which this device only claims to be: nothing may be made there but tiles."""
    own = TorchEngine(networks, device="cpu")
    images, tiling = _images(2, 37, 50), Tiling(PATCH, 0.5, (0, 1))
    expected = own.start(images, (0, 4), tiling)()
    homes: list[torch.device] = []
    original = own._logits

    class Claimed:
        type = "cuda"

    def logits(*arguments: Any) -> Any:
        homes.append(arguments[-1])
        if len(homes) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB.")
        own._device = torch.device("cpu")
        return original(*arguments)

    monkeypatch.setattr(own, "_device", Claimed())
    monkeypatch.setattr(own, "_logits", logits)
    found = own.start(images, (0, 4), tiling)()
    np.testing.assert_array_equal(found, expected)
    assert [home.type for home in homes] == ["cuda", "cpu"]


class _WithStrangeLayer(nn.Module):  # type: ignore[misc]
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(pixels).real


def test_a_layer_that_openvino_does_not_know_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match=r"No conversion rule .*eigvals"):
        OpenVinoEngine({0: _WithStrangeLayer()}, n_channels=1, patch_hw=(8, 8), threads=1)


def test_conversion_leaves_the_log_of_the_process_alone(
    networks: dict[int, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[object] = []
    monkeypatch.setattr(logging.getLogger(), "setLevel", levels.append)
    OpenVinoEngine(networks, n_channels=2, patch_hw=PATCH, threads=1)
    assert levels == []

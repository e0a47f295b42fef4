"""OpenVinoEngine: the networks compiled by OpenVINO, for CPUs."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import torch
from openvino.frontend import (
    FrontEndManager,
    GeneralFailure,
    InitializationFailure,
    NotImplementedFailure,
    OpConversionFailure,
    OpValidationFailure,
)
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

from training.nnunet.inference.engines.engine import SPLIT_BYTES, FoldLogits, Pending
from training.nnunet.inference.engines.merged_upsampling import merge_upsampling
from training.nnunet.inference.tiling import Tiling

_FAILURES = (
    GeneralFailure,
    InitializationFailure,
    NotImplementedFailure,
    OpConversionFailure,
    OpValidationFailure,
)
"""The frontend's, which are no RuntimeErrors as the rest of OpenVINO's are."""


class OpenVinoEngine:
    """One compiled network per fold, for tiles of one shape.

    As many inferences run side by side as there are threads, each on one thread: two at a time took
    less time than one after the other on two threads, and a batch of mirrored tiles took longer
    than the tiles by themselves. The order of additions is fixed, so equal images give equal bits.
    """

    name = "openvino"
    batch_images = 1

    def __init__(
        self,
        networks: Mapping[int, torch.nn.Module],
        *,
        n_channels: int,
        patch_hw: tuple[int, int],
        threads: int,
    ) -> None:
        """Converts and compiles: about 0.8 s of one core for each small network.

        Args:
            networks: Fold -> network on the CPU, in evaluation mode.
            n_channels: Channels of an image.
            patch_hw: (height, width) of the tiles.
            threads: Inferences side by side.

        Raises:
            RuntimeError: OpenVINO does not know a layer of the network.
        """
        shape = (1, n_channels, *patch_hw)
        self._models = {fold: _convert(network, shape) for fold, network in networks.items()}
        self._threads = threads
        self._compile("f32")
        self._n_bytes: int = 2 * sum(
            parameter.nelement() * parameter.element_size()
            for network in networks.values()
            for parameter in network.parameters()
        )

    def _compile(self, precision: str) -> None:
        core, options = openvino.Core(), _options(self._threads, precision)
        self._compiled = {
            fold: core.compile_model(model, "CPU", options) for fold, model in self._models.items()
        }
        # One more than run: it mirrors and adds while the others wait for their networks.
        self._pool = ThreadPoolExecutor(self._threads + 1, thread_name_prefix="inference")
        self._requests = threading.local()

    def in_bfloat16(self) -> OpenVinoEngine | None:
        """The same networks computing in bfloat16; None where the processor can't."""
        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return None
        other = copy.copy(self)
        other.name = "openvino in bfloat16"
        other._compile("bf16")
        return other

    @property
    def n_bytes(self) -> int:
        """Bytes of the parameters, as converted and as laid out for the processor."""
        return self._n_bytes

    def start(
        self, images: npt.NDArray[np.float32], folds: Sequence[int], tiling: Tiling
    ) -> Pending:
        """Queues the networks and returns at once."""
        mirrorings = tiling.mirrorings
        n_classes = int(self._compiled[folds[0]].output(0).shape[1])
        size_hw = (int(images.shape[2]), int(images.shape[3]))
        n_sums = len(folds) * len(images) * len(mirrorings)
        is_split = n_sums * n_classes * size_hw[0] * size_hw[1] * 4 <= SPLIT_BYTES
        groups = [(axes,) for axes in mirrorings] if is_split else [mirrorings]
        sums = [
            [
                [self._pool.submit(self._sum, fold, image, tiling, group) for group in groups]
                for image in images
            ]
            for fold in folds
        ]
        weight = tiling.weight(size_hw)
        divisor = np.float32(len(mirrorings))
        by_pixel = divisor if weight is None else tiling.total_weight(size_hw) * divisor

        def wait() -> FoldLogits:
            logits = np.empty((len(folds), len(images), n_classes, *size_hw), np.float32)
            for of_fold, fold_sums in zip(logits, sums, strict=True):
                for of_image, (first, *others) in zip(of_fold, fold_sums, strict=True):
                    total = first.result()
                    for other in others:
                        total += other.result()
                    np.divide(total, by_pixel, out=of_image)
            return logits

        return wait

    def _sum(
        self,
        fold: int,
        image: npt.NDArray[np.float32],
        tiling: Tiling,
        mirrorings: Sequence[tuple[int, ...]],
    ) -> npt.NDArray[np.float32]:
        """Weighted sum over tiles and mirrorings, (class, height, width) float32."""
        size_hw = (int(image.shape[1]), int(image.shape[2]))
        weight = tiling.weight(size_hw)
        request = self._request(fold)
        total: npt.NDArray[np.float32] | None = None
        for axes in mirrorings:
            flips = tuple(axis + 1 for axis in axes)
            for window in tiling.windows(size_hw):
                tile = np.flip(image[(slice(None), *window)], flips)
                request.infer({0: np.ascontiguousarray(tile)[None]}, share_inputs=True)
                # A view of the request's memory: used up before its next inference.
                logits = np.flip(request.get_output_tensor(0).data[0], flips)
                order = tiling.class_order(axes, len(logits))
                if order is not None:
                    logits = logits[list(order)]
                if weight is not None:
                    logits = logits * weight
                if total is None and logits.shape[1:] == size_hw:
                    total = np.array(logits)
                    continue
                if total is None:
                    total = np.zeros((len(logits), *size_hw), np.float32)
                total[(slice(None), *window)] += logits
        assert total is not None  # noqa: S101 - there is at least one tile
        return total

    def _request(self, fold: int) -> Any:
        """The inference request of a fold that belongs to this thread."""
        requests = self._requests.__dict__.setdefault("by_fold", {})
        if fold not in requests:
            requests[fold] = self._compiled[fold].create_infer_request()
        return requests[fold]


def _convert(network: torch.nn.Module, shape: tuple[int, ...]) -> Any:
    # The branches of a network depend on its shapes only, and these are fixed.
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    example = torch.zeros(shape)
    with torch.no_grad():
        # check_trace runs the network three times more; the engine is compared with torch anyway.
        merged = merge_upsampling(network, example)
        traced = torch.jit.trace(merged, example, check_trace=False)
    # Not convert_model: that reports each use to its makers over the network, and while it works
    # (for good, if it fails) the process logs errors only.
    try:
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced, example_input=example)
        model = frontend.convert(frontend.load(decoder))  # reads from the decoder while it lives
        model.reshape(list(shape))
    except _FAILURES as error:
        # The first lines say where in OpenVINO's source; what is missing comes last.
        lines = str(error).split("\n")
        reason = next((line for line in lines if "No conversion rule" in line), lines[0])
        raise RuntimeError(reason.strip("- ")) from error
    return model


def _options(threads: int, precision: str) -> dict[str, Any]:
    return {
        # On some CPUs OpenVINO takes bfloat16 by itself: 3e-2 off, so that it is asked for.
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        # Each network pins its threads to the same first cores, where they would queue up.
        "ENABLE_CPU_PINNING": False,
    }

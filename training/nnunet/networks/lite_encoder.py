"""LiteEncoder: EfficientNet-Lite0 as the encoder of a U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

STAGE_CHANNELS = (16, 24, 40, 112, 320)
"""Of the features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's sides."""

_STEM_CHANNELS = 32

_RGB = 3

_GROUPS = (
    # (channels, blocks, kernel, stride, expansion): table 1 of Tan & Le 2019 ("EfficientNet", ICML)
    # without squeeze and excitation and with ReLU6 instead of swish, which makes it Lite0.
    (16, 1, 3, 1, 1),
    (24, 2, 3, 2, 6),
    (40, 2, 5, 2, 6),
    (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6),
    (192, 4, 5, 2, 6),
    (320, 1, 3, 1, 6),
)

_LAST_BLOCKS = (0, 2, 4, 10, 15)
"""Blocks whose output is a stage's: the last of each resolution."""

_BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}
"""As the weights were trained with."""

_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
"""Entries of the file that belong to the classifier behind the encoder."""


class LiteEncoder(nn.Module):  # type: ignore[misc]  # torch's types are not followed
    """Features of an image at five resolutions.

    Its parameters have the names of the file of weights (``pretrained_weights``), the classifier
    at the end left out.
    """

    def __init__(self, n_channels: int) -> None:
        """Weights at random.

        Args:
            n_channels: Channels of an image, at least 1.
        """
        super().__init__()
        self._conv_stem = nn.Conv2d(n_channels, _STEM_CHANNELS, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(_STEM_CHANNELS, **_BATCH_NORM)
        blocks, before = [], _STEM_CHANNELS
        for channels, n_blocks, kernel, stride, expansion in _GROUPS:
            for number in range(n_blocks):
                blocks.append(
                    _Block(before, channels, kernel, stride if number == 0 else 1, expansion)
                )
                before = channels
        self._blocks = nn.ModuleList(blocks)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Features of images whose sides are multiples of 32.

        Args:
            pixels: (image, channel, height, width) float32, each channel with mean 0 and
                deviation 1.

        Returns:
            (image, ``STAGE_CHANNELS[i]``, height / 2**(i + 1), width / 2**(i + 1)) each.
        """
        if pixels.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # A step took 148 ms so, 192 in bfloat16: depthwise convolutions don't gain from it.
            with torch.autocast("cpu", enabled=False):
                return self._stages(pixels.float().contiguous(memory_format=torch.channels_last))
        return self._stages(pixels)

    def _stages(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        features = functional.relu6(self._bn0(self._conv_stem(_padded(pixels, 3, 2))))
        stages = []
        for number, block in enumerate(self._blocks):
            features = block(features)
            if number in _LAST_BLOCKS:
                stages.append(features)
        return stages

    def train(self, mode: bool = True) -> LiteEncoder:
        """Batch norms keep the statistics they came with: those of a few patches say little."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Takes weights trained on RGB images, whatever the number of channels here.

        With 3 channels the first convolution is as it was. With others each channel gets the mean
        over red, green and blue, so that equal channels give what a grey RGB image gave.

        Args:
            weights: The file's state dict; its classifier is not used.

        Raises:
            RuntimeError: Names or shapes are not those of EfficientNet-Lite0.
        """
        own = {k: v for k, v in weights.items() if not k.startswith(_CLASSIFIER)}
        n_channels = self._conv_stem.in_channels
        first = own.get("_conv_stem.weight")
        if first is not None and n_channels != _RGB:
            mean = first.sum(1, keepdim=True) / n_channels
            own["_conv_stem.weight"] = mean.expand(-1, n_channels, -1, -1)
        self.load_state_dict(own)


class _Block(nn.Module):  # type: ignore[misc]
    """Inverted residual: wide inside, narrow between blocks (Sandler et al. 2018, MobileNetV2)."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self._kernel, self._stride = kernel, stride
        self._is_residual = stride == 1 and before == after
        self._expands = expansion != 1
        if self._expands:
            self._expand_conv = nn.Conv2d(before, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, **_BATCH_NORM)
        self._depthwise_conv = nn.Conv2d(
            wide,
            wide,
            kernel,
            stride=stride,
            padding=kernel // 2 if stride == 1 else 0,
            groups=wide,
            bias=False,
        )
        self._bn1 = nn.BatchNorm2d(wide, **_BATCH_NORM)
        self._project_conv = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, **_BATCH_NORM)

    def forward(self, features: torch.Tensor) -> Any:
        inside = features
        if self._expands:
            inside = functional.relu6(self._bn0(self._expand_conv(inside)))
        if self._stride != 1:
            inside = _padded(inside, self._kernel, self._stride)
        inside = functional.relu6(self._bn1(self._depthwise_conv(inside)))
        inside = self._bn2(self._project_conv(inside))
        return features + inside if self._is_residual else inside


def _padded(features: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    # TensorFlow's "same", which the weights were trained with: more after than before.
    both = kernel - stride
    before, after = both // 2, both - both // 2
    return functional.pad(features, (before, after, before, after))

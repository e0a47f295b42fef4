"""PretrainedUNet: nnU-Net's decoder on an encoder that has seen ImageNet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import nn

from domain.errors import TrainingError
from domain.text import one_line
from training.nnunet.networks.lite_encoder import STAGE_CHANNELS, LiteEncoder
from training.nnunet.networks.pretrained_weights import read_weights
from training.pretrained import PACKAGE, WEIGHTS_REMEDY

STRIDES = ((1, 1), *((2, 2),) * len(STAGE_CHANNELS))
"""Of the stages: full size, then those of ``LiteEncoder``."""

_KERNEL = (3, 3)
_NORM = {"eps": 1e-5, "affine": True}
_SLOPE = {"inplace": True}


class PretrainedUNet(nn.Module):  # type: ignore[misc]  # torch's types are not followed
    """A U-Net for plans: ``network_class_name`` names it, ``arch_kwargs`` are its arguments.

    Before the stages of ``LiteEncoder`` comes one of full size, so that outlines are as fine as the
    image. Blocks outside the encoder are nnU-Net's: convolution, instance norm, leaky ReLU.

    Built with weights at random, so that a version needs no file to be loaded;
    ``load_pretrained`` is for the start of a training.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        *,
        first_features: int,
        n_conv_per_stage_decoder: Sequence[int],
        strides: Sequence[Sequence[int]] = STRIDES,
        deep_supervision: bool = False,
    ) -> None:
        """Builds the network.

        Args:
            input_channels: Channels of an image.
            num_classes: Classes, background included.
            first_features: Width of the stage of full size.
            n_conv_per_stage_decoder: Convolutions of each decoder stage, the smallest first.
            strides: ``STRIDES``, which nnU-Net reads from the plans.
            deep_supervision: Whether the decoder gives the logits of all its stages.

        Raises:
            ValueError: The strides are others.
        """
        super().__init__()
        if tuple(tuple(pair) for pair in strides) != STRIDES:
            raise ValueError(f"PretrainedUNet has the strides {STRIDES}, got {strides}")
        self.encoder = _Encoder(input_channels, first_features)
        self.decoder = UNetDecoder(
            self.encoder, num_classes, list(n_conv_per_stage_decoder), deep_supervision
        )
        # As nnU-Net's networks begin (InitWeights_He); the encoder has its own start.
        for module in (self.encoder.first, *self.decoder.children()):
            if module is not self.encoder:
                module.apply(_initialise)

    def forward(self, pixels: torch.Tensor) -> Any:
        """Logits of images whose sides are multiples of 32.

        Args:
            pixels: (image, channel, height, width) float32.

        Returns:
            (image, class, height, width); with deep supervision a list of them, the following
            ones half as high and wide each.
        """
        return self.decoder(self.encoder(pixels))

    def load_pretrained(self) -> None:
        """Gives the encoder its ImageNet weights.

        Raises:
            SettingsError: They are not installed.
            TrainingError: They can't be read, or are another network's.
        """
        weights = read_weights()
        try:
            self.encoder.lite.load(weights)
        except RuntimeError as error:
            raise TrainingError(
                f"The weights of {PACKAGE} are of another network: {one_line(error)}",
                remedy=WEIGHTS_REMEDY,
            ) from error

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Those that ``load_pretrained`` sets."""
        return iter(self.encoder.lite.parameters())

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> Any:
        """As nnU-Net's networks: values in all feature maps of an image of (height, width)."""
        size = [int(side) for side in input_size]
        total = self.encoder.first.compute_conv_feature_map_size(size)
        for channels in STAGE_CHANNELS:
            size = [side // 2 for side in size]
            total += channels * size[0] * size[1]
        return total + self.decoder.compute_conv_feature_map_size(list(input_size))


def load_pretrained(network: nn.Module) -> None:
    """``PretrainedUNet.load_pretrained``; networks of other kinds stay as they are."""
    if isinstance(network, PretrainedUNet):
        network.load_pretrained()


class _Encoder(nn.Module):  # type: ignore[misc]
    """All stages, with what ``UNetDecoder`` asks an encoder for."""

    conv_op, conv_bias = nn.Conv2d, True
    norm_op, norm_op_kwargs = nn.InstanceNorm2d, _NORM
    dropout_op, dropout_op_kwargs = None, None
    nonlin, nonlin_kwargs = nn.LeakyReLU, _SLOPE

    def __init__(self, n_channels: int, first_features: int) -> None:
        super().__init__()
        self.output_channels = [first_features, *STAGE_CHANNELS]
        self.strides = [list(pair) for pair in STRIDES]
        self.kernel_sizes = [list(_KERNEL)] * len(STRIDES)
        self.first = StackedConvBlocks(
            1,
            self.conv_op,
            n_channels,
            first_features,
            list(_KERNEL),
            1,
            self.conv_bias,
            self.norm_op,
            self.norm_op_kwargs,
            nonlin=self.nonlin,
            nonlin_kwargs=self.nonlin_kwargs,
        )
        self.lite = LiteEncoder(n_channels)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [self.first(pixels), *self.lite(pixels)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

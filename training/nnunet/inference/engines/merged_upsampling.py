"""Merges each upsampling of a U-Net with the convolution after it: equal results, less work."""

from __future__ import annotations

from typing import Any

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import (
    ConvDropoutNormReLU,
    StackedConvBlocks,
)
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import nn
from torch.nn import functional


def merge_upsampling(network: nn.Module, example: torch.Tensor) -> nn.Module:
    """A network with the outputs of ``network``, for images of one size.

    A decoder stage of nnU-Net's U-Nets puts the upsampled features beside those of the encoder and
    convolves both. That convolution is a sum of one over each half; over the upsampled half there
    is nothing between it and the transposed convolution, so both are one transposed convolution.
    What is saved are the features in between, putting them beside the others, and, for the usual
    kernels, three of twenty multiplications.

    Args:
        network: In evaluation mode, without deep supervision; it is left as it is. Networks of
            other kinds come back unchanged.
        example: (1, channel, height, width) float32, of the size that the network will see.
    """
    decoder: Any = getattr(network, "decoder", None)
    if type(decoder) is not UNetDecoder:
        return network
    encoder: Any = network.encoder
    with torch.no_grad():
        skips = encoder(example)
        stages = [
            _merged(up, stage, skip) or _Beside(up, stage)
            for up, stage, skip in zip(
                decoder.transpconvs, decoder.stages, reversed(skips[:-1]), strict=True
            )
        ]
    return _Merged(encoder, stages, decoder.seg_layers[-1]).eval()


class _Merged(nn.Module):  # type: ignore[misc]
    """Encoder and decoder; gives the logits at full size."""

    def __init__(self, encoder: nn.Module, stages: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.stages = nn.ModuleList(stages)

    def forward(self, pixels: torch.Tensor) -> Any:
        *skips, features = self.encoder(pixels)
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            features = stage(features, skip)
        return self.head(features)


class _Beside(nn.Module):  # type: ignore[misc]
    """A stage as it is: upsampled features beside those of the encoder."""

    def __init__(self, up: nn.Module, stage: nn.Module) -> None:
        super().__init__()
        self.up, self.stage = up, stage

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> Any:
        return self.stage(torch.cat((self.up(features), skip), 1))


class _Stage(nn.Module):  # type: ignore[misc]
    """A stage whose upsampling and first convolution are one."""

    offset: torch.Tensor

    def __init__(
        self, up: nn.ConvTranspose2d, conv: nn.Conv2d, after: nn.Module, skip: torch.Tensor
    ) -> None:
        super().__init__()
        kernel = conv.weight.detach()
        of_up, of_skip = kernel[:, : up.out_channels], kernel[:, up.out_channels :]
        self.stride, self.padding, self.after = up.stride, conv.padding, after
        # torch's convolution is a correlation: the transposed one composes with the kernel turned.
        turned = of_up.flip((2, 3)).transpose(0, 1)
        self.up = nn.Parameter(functional.conv_transpose2d(up.weight.detach(), turned))
        self.skip = nn.Parameter(of_skip.clone())
        # The upsampling's bias ends at the border, where the convolution sees zeros.
        bias = torch.zeros(up.out_channels) if up.bias is None else up.bias.detach()
        of_bias = bias[None, :, None, None].expand(1, -1, *skip.shape[2:])
        offset = functional.conv2d(of_bias, of_up, conv.bias, padding=conv.padding)
        self.register_buffer("offset", offset.detach())

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> Any:
        upsampled = functional.conv_transpose2d(
            features, self.up, stride=self.stride, padding=self.padding
        )
        beside = functional.conv2d(skip, self.skip, padding=self.padding)
        return self.after(upsampled + (beside + self.offset))


def _merged(up: nn.Module, stage: nn.Module, skip: torch.Tensor) -> _Stage | None:
    """None where the stage is built in another way than nnU-Net's."""
    if not isinstance(up, nn.ConvTranspose2d) or type(stage) is not StackedConvBlocks:
        return None
    first, *others = stage.convs
    if type(first) is not ConvDropoutNormReLU:
        return None
    conv, *rest = first.all_modules
    if not isinstance(conv, nn.Conv2d) or not _is_plain(up) or not _is_plain(conv):
        return None
    if up.kernel_size != up.stride or up.padding != (0, 0) or conv.stride != (1, 1):
        return None
    if any(2 * p != k - 1 for p, k in zip(conv.padding, conv.kernel_size, strict=True)):
        return None
    return _Stage(up, conv, nn.Sequential(*rest, *others), skip)


def _is_plain(conv: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    is_plain = conv.groups == 1 and conv.dilation == (1, 1)
    return is_plain and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)

from __future__ import annotations

from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from training.nnunet.inference.engines.merged_upsampling import merge_upsampling

SHAPE = (1, 2, 24, 40)


def unet(kind: Any = PlainConvUNet, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    arguments = {
        "input_channels": 2,
        "n_stages": 3,
        "features_per_stage": (4, 8, 16),
        "conv_op": nn.Conv2d,
        "kernel_sizes": 3,
        "strides": [1, 2, 2],
        "num_classes": 3,
        "n_conv_per_stage_decoder": 1,
        "conv_bias": True,
        "norm_op": nn.InstanceNorm2d,
        "norm_op_kwargs": {"affine": True},
        "nonlin": nn.LeakyReLU,
        "deep_supervision": False,
    }
    arguments["n_blocks_per_stage" if kind is ResidualEncoderUNet else "n_conv_per_stage"] = 1
    network: nn.Module = kind(**(arguments | changes))
    for parameter in network.parameters():
        # Biases, too: they are 0 at first, and the border would not show.
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


@pytest.mark.parametrize(
    "network",
    [
        unet(),
        unet(conv_bias=False),
        unet(norm_op=None, norm_op_kwargs=None),
        unet(n_conv_per_stage_decoder=2),
        unet(strides=[1, (1, 2), (2, 4)]),
        unet(kernel_sizes=[3, (1, 3), (5, 3)]),
        unet(ResidualEncoderUNet),
    ],
    ids=["plain", "no bias", "no norm", "2 convolutions", "strides", "kernels", "residual"],
)
@torch.no_grad()  # type: ignore[untyped-decorator]
def test_outputs_are_equal_to_the_border(network: nn.Module) -> None:
    pixels = torch.randn(SHAPE)
    merged = merge_upsampling(network, torch.zeros(SHAPE))
    assert not [m for m in merged.modules() if isinstance(m, nn.ConvTranspose2d)]
    torch.testing.assert_close(merged(pixels), network(pixels), rtol=1e-4, atol=1e-4)


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_a_stage_of_another_kind_stays_as_it_is() -> None:
    network = unet()
    stage: Any = network.decoder.stages[0]
    stage.convs[0].all_modules[0].padding_mode = "reflect"
    stage.convs[0].all_modules[0]._reversed_padding_repeated_twice = [1, 1, 1, 1]
    pixels = torch.randn(SHAPE)
    merged = merge_upsampling(network, torch.zeros(SHAPE))
    assert len([m for m in merged.modules() if isinstance(m, nn.ConvTranspose2d)]) == 1
    torch.testing.assert_close(merged(pixels), network(pixels), rtol=1e-4, atol=1e-4)


def test_other_networks_come_back_unchanged() -> None:
    network = nn.Conv2d(2, 3, 3)
    assert merge_upsampling(network, torch.zeros(SHAPE)) is network

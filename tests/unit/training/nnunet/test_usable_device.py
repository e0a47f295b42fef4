"""Devices that are not there are named before anything is moved to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from domain.errors import DeviceError
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.usable_device import usable_device


def test_the_cpu_is_always_there() -> None:
    assert usable_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_on_a_machine_without_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"{name} can't be used .* sees no GPU") as caught:
        usable_device(name)
    assert "NNLOOP_DEVICES" in caught.value.remedy


def test_a_gpu_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert usable_device("cuda:0").index == 0
    assert usable_device("cuda").type == "cuda"
    with pytest.raises(DeviceError, match=r"cuda:1 .* sees 1 GPU\."):
        usable_device("cuda:1")


def test_no_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="mps"):
        usable_device("mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_version_is_not_blamed_for_it(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:0"):
        FoldPredictor.load(tmp_path, device="cuda:0")

from __future__ import annotations

import pytest

from domain.errors import SettingsError
from training.devices import Device, list_devices


def no_gpus() -> list[int]:
    return []


def two_gpus() -> list[int]:
    return [24_000, 80_000]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, Device("cpu", 1, 1)),
        (2, Device("cpu", 2, 1)),
        # one core is left to Label Studio, the web service and the prediction worker
        (4, Device("cpu", 2, 1)),
        (8, Device("cpu", 2, 3)),
        (64, Device("cpu", 2, 8)),
    ],
)
def test_without_a_gpu_two_folds_share_the_cpu(cores: int, expected: Device) -> None:
    assert list_devices({}, query=no_gpus, cores=cores) == (expected,)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (Device("cuda:0", 1, 4, 24_000), Device("cuda:1", 1, 4, 80_000))),
        # numbering follows what CUDA shows
        ({"CUDA_VISIBLE_DEVICES": "1"}, (Device("cuda:0", 1, 8, 80_000),)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-abc"}, (Device("cuda:0", 1, 8, 0),)),
        # hidden GPUs: the CPU
        ({"CUDA_VISIBLE_DEVICES": ""}, (Device("cpu", 2, 3),)),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, (Device("cpu", 2, 3),)),
        # the list ends at the first entry that is no GPU
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, (Device("cuda:0", 1, 8, 80_000),)),
        ({"CUDA_VISIBLE_DEVICES": "0,7,1"}, (Device("cuda:0", 1, 8, 24_000),)),
        ({"NNLOOP_DEVICES": "cpu"}, (Device("cpu", 2, 3),)),
        ({"NNLOOP_DEVICES": "cuda:1"}, (Device("cuda:1", 1, 8, 80_000),)),
        (
            {"NNLOOP_DEVICES": "cuda:0, cpu"},
            (Device("cuda:0", 1, 8, 24_000), Device("cpu", 2, 1)),
        ),
        ({"NNLOOP_DEVICES": "mps"}, (Device("mps", 1, 8),)),
    ],
)
def test_with_two_gpus(environment: dict[str, str], expected: tuple[Device, ...]) -> None:
    assert list_devices(environment, query=two_gpus, cores=8) == expected


@pytest.mark.parametrize("value", ["gpu", "cuda", "cuda:0,cuda:0", "cuda:x"])
def test_a_wrong_list_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="NNLOOP_DEVICES"):
        list_devices({"NNLOOP_DEVICES": value}, query=two_gpus)

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import SettingsError
from training import devices
from training.devices import Device, list_devices

MUCH = 64 * 1024


def no_gpus() -> list[int]:
    return []


def two_gpus() -> list[int]:
    return [24_000, 80_000]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        # one after the other: together they would take as long, and more memory
        (1, Device("cpu", 1, 1)),
        # the folds of the preset for a CPU in one round
        (2, Device("cpu", 3, 1)),
        # one core is left to Label Studio, the web service and the prediction worker
        (4, Device("cpu", 3, 1)),
        (8, Device("cpu", 3, 2)),
        (16, Device("cpu", 5, 3)),
        (64, Device("cpu", 5, 8)),
    ],
)
def test_without_a_gpu_the_folds_share_the_cpu(cores: int, expected: Device) -> None:
    assert list_devices({}, query=no_gpus, cores=cores, memory_mib=MUCH) == (expected,)


@pytest.mark.parametrize(
    ("memory_mib", "workers"), [(0, 1), (3_000, 1), (4_000, 1), (5_000, 2), (6_000, 3), (MUCH, 3)]
)
def test_no_more_folds_train_at_once_than_memory_bears(memory_mib: int, workers: int) -> None:
    (device,) = list_devices({}, query=no_gpus, cores=2, memory_mib=memory_mib)
    assert device == Device("cpu", workers, 1)


def test_a_containers_limit_is_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = devices.usable_memory_mib()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "_MEMORY_LIMIT", limit)
    assert whole <= (machine := devices.usable_memory_mib())  # no such file
    limit.write_text("max\n")
    assert devices.usable_memory_mib() == machine
    limit.write_text(f"{300 * 2**20}\n")
    assert devices.usable_memory_mib() == 300


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (Device("cuda:0", 1, 4, 24_000), Device("cuda:1", 1, 4, 80_000))),
        # numbering follows what CUDA shows
        ({"CUDA_VISIBLE_DEVICES": "1"}, (Device("cuda:0", 2, 4, 80_000),)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-abc"}, (Device("cuda:0", 1, 8, 0),)),
        # hidden GPUs: the CPU
        ({"CUDA_VISIBLE_DEVICES": ""}, (Device("cpu", 3, 2),)),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, (Device("cpu", 3, 2),)),
        # the list ends at the first entry that is no GPU
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, (Device("cuda:0", 2, 4, 80_000),)),
        ({"CUDA_VISIBLE_DEVICES": "0,7,1"}, (Device("cuda:0", 2, 4, 24_000),)),
        ({"NNLOOP_DEVICES": "cpu"}, (Device("cpu", 3, 2),)),
        ({"NNLOOP_DEVICES": "cuda:1"}, (Device("cuda:1", 2, 4, 80_000),)),
        (
            {"NNLOOP_DEVICES": "cuda:0, cpu"},
            (Device("cuda:0", 2, 4, 24_000), Device("cpu", 3, 1)),
        ),
        ({"NNLOOP_DEVICES": "mps"}, (Device("mps", 1, 8),)),
    ],
)
def test_with_two_gpus(environment: dict[str, str], expected: tuple[Device, ...]) -> None:
    assert list_devices(environment, query=two_gpus, cores=8, memory_mib=MUCH) == expected


@pytest.mark.parametrize(
    ("memory_mib", "cores", "workers", "threads"),
    [
        (0, 64, 1, 64),  # nobody knows
        (8_192, 64, 1, 64),
        (24_576, 64, 2, 32),
        (81_920, 64, 3, 21),
        (81_920, 8, 2, 4),
        (81_920, 2, 1, 2),  # the GPU would wait for its patches
    ],
)
def test_a_large_gpu_beside_many_cores_trains_several_folds(
    memory_mib: int, cores: int, workers: int, threads: int
) -> None:
    (device,) = list_devices({}, query=lambda: [memory_mib], cores=cores, memory_mib=MUCH)
    assert device == Device("cuda:0", workers, threads, memory_mib)


@pytest.mark.parametrize("value", ["gpu", "cuda", "cuda:0,cuda:0", "cuda:x"])
def test_a_wrong_list_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="NNLOOP_DEVICES"):
        list_devices({"NNLOOP_DEVICES": value}, query=two_gpus)

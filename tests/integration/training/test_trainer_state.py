"""What a fold's training keeps, and what it does where it has never run: paths of a GPU, played.

A gradient scaler and torch.compile work on a CPU as they do on CUDA, so they are used themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time

import psutil
import pytest
import torch

from domain.errors import TrainingError
from tests.integration.fold_processes import fold_process
from tests.integration.training.test_trainer import (
    PRESET,
    finished,
    in_this_process,
    make_spec,
    named,
    ready,
    stop_after,
    workspace,
)
from training.folds import runner
from training.folds.runner import run_fold
from training.folds.spec import FINAL, LATEST, EpochProgress
from training.nnunet.learning.trainer import LoopTrainer
from training.workspace import Workspace

__all__ = ["in_this_process", "workspace"]


def weights_of(trainer: LoopTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.plain_network.state_dict().items()}


def assert_same(found: object, expected: object) -> None:
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


def test_a_resumed_fold_has_everything_it_had(workspace: Workspace) -> None:
    """Weights, optimiser, schedule, plan and plateau, curves, batch, and how it was started."""
    preset = dataclasses.replace(PRESET, epochs=6, patience=4, warm_lr=0.25)
    earlier = make_spec(workspace, "state-earlier", PRESET)
    finished(earlier)
    spec = make_spec(workspace, "state", preset, budget_s=500.0)
    first = ready(spec)
    assert first.warm_start(earlier.fold_dir / FINAL)
    first.batch_size = 2
    stop_after(first, 2)
    second = ready(spec)
    assert second.resume()
    assert_same(weights_of(second), weights_of(first))
    assert_same(second.optimizer.state_dict(), first.optimizer.state_dict())
    assert second.current_epoch == 2
    assert second.batch_size == 2
    assert second.num_epochs == first.num_epochs > 6
    assert second.num_iterations_per_epoch == first.num_iterations_per_epoch
    assert second.warm_started
    assert_same(vars_of_schedule(second), vars_of_schedule(first))
    assert_same(second.logger.get_checkpoint(), first.logger.get_checkpoint())
    old, new = first.plan.to_json(), second.plan.to_json()
    assert new["plateau"] == old["plateau"]
    assert new["plateau"]["loss"]["values"] == 2
    for key in ("stopped", "trained_s", "measured_s"):
        assert new[key] == old[key]


def test_a_network_for_other_classes_is_started_from_but_for_its_head(workspace: Workspace) -> None:
    preset = dataclasses.replace(PRESET, epochs=1)
    earlier = make_spec(workspace, "other-classes", preset)
    finished(earlier)
    old = torch.load(earlier.fold_dir / FINAL, weights_only=True)["network_weights"]
    # Our first class is new, our second is the other network's first.
    trainer = ready(make_spec(workspace, "fine-tuned", preset, head=(0, -1, 1)))
    fresh = weights_of(trainer)
    assert trainer.warm_start(earlier.fold_dir / FINAL)
    assert trainer.warm_started
    for name, value in weights_of(trainer).items():
        if "seg_layers" not in name:
            assert torch.equal(value, old[name]), name
            continue
        assert torch.equal(value[0], old[name][0])
        assert torch.equal(value[1], fresh[name][1])
        assert torch.equal(value[2], old[name][1])


def vars_of_schedule(trainer: LoopTrainer) -> dict[str, float]:
    schedule = trainer.lr_scheduler
    return {name: getattr(schedule, name) for name in ("initial_lr", "max_steps", "exponent")}


def test_a_resumed_fold_draws_other_patches(workspace: Workspace) -> None:
    """Were the generators left as at the start, the first epochs' patches would come again."""
    spec = make_spec(workspace, "draws", dataclasses.replace(PRESET, epochs=4))
    first = ready(spec)
    first.dataloader_train, first.dataloader_val = first.get_dataloaders()
    at_start = next(first.dataloader_train)["data"].clone()
    stop_after(first, 1)
    second = ready(spec)
    assert second.resume()
    resumed = next(second.get_dataloaders()[0])["data"]
    assert not torch.equal(resumed, at_start)
    # But the same each time it is resumed there.
    third = ready(spec)
    assert third.resume()
    assert torch.equal(next(third.get_dataloaders()[0])["data"], resumed)


def test_mixed_precision_survives_out_of_memory_and_resuming(workspace: Workspace) -> None:
    """Memory ran out between unscaling and the step: the scaler would refuse the next unscaling."""
    spec = make_spec(workspace, "scaled", named("ScaledTrainer"))
    trainer = ready(spec)
    stop_after(trainer, 1)
    assert trainer.batch_size == 1
    saved = torch.load(spec.fold_dir / LATEST, weights_only=True)["grad_scaler_state"]
    assert saved == trainer.grad_scaler.state_dict()
    # Two steps of growth interval 3; the scale itself is the one it started with.
    assert (saved["scale"], saved["_growth_tracker"]) == (1024.0, 2)
    again = ready(spec)
    assert again.resume()
    assert again.grad_scaler.state_dict() == saved
    again.run_training()
    # The third step in all doubled it: it went on where it was.
    assert again.grad_scaler.get_scale() == 2048.0


def test_a_compiled_network_is_saved_and_resumed_as_a_plain_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_spec(workspace, "plain")
    names = ready(plain).plain_network.state_dict().keys()
    monkeypatch.setattr(LoopTrainer, "_do_i_compile", lambda _self: True)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    spec = make_spec(workspace, "compiled")
    first = ready(spec)
    assert first.network is not first.plain_network
    stop_after(first, 1)
    assert torch.load(spec.fold_dir / LATEST, weights_only=True)["network_weights"].keys() == names
    second = ready(spec)
    assert second.resume()
    assert_same(weights_of(second), weights_of(first))
    # Held-out cases are predicted between epochs: deep supervision is on again afterwards.
    second.run_training()
    assert second.current_epoch == PRESET.epochs
    # An earlier version that was compiled starts one that is not, and the other way round.
    monkeypatch.undo()
    whole = dataclasses.replace(PRESET, warm_shrink=1.0)
    third = ready(make_spec(workspace, "from-compiled", whole))
    assert third.warm_start(spec.fold_dir / FINAL)
    assert_same(weights_of(third), weights_of(second))


def test_lost_weights_end_the_fold_and_the_last_good_ones_stay(workspace: Workspace) -> None:
    spec = make_spec(workspace, "diverging", named("DivergingTrainer"))
    with pytest.raises(TrainingError, match="fold 0 were no numbers any more after epoch 2"):
        finished(spec)
    saved = torch.load(spec.fold_dir / LATEST, weights_only=True)
    assert saved["current_epoch"] == 1
    assert all(torch.isfinite(value).all() for value in saved["network_weights"].values())


@pytest.mark.parametrize(
    ("run", "other"),
    [
        ("classes", {"n_classes": 1}),
        ("channels", {"n_channels": 3}),
        ("narrower", {"features": (4, 4, 8)}),
        ("shallower", {"features": (4, 8)}),
    ],
)
def test_a_version_of_another_shape_starts_nothing(
    workspace: Workspace, run: str, other: dict[str, object]
) -> None:
    """The fold trains from fresh weights and says so; nothing of the old ones is mixed in."""
    old = make_spec(workspace, f"old-{run}")
    trainer = ready(old)
    network = another_network(trainer, **other)  # type: ignore[arg-type]
    trainer.network = network
    trainer.save_checkpoint(str(old.fold_dir / FINAL))
    new = ready(make_spec(workspace, f"new-{run}"))
    before = weights_of(new)
    assert not new.warm_start(old.fold_dir / FINAL)
    assert not new.warm_started
    assert_same(weights_of(new), before)
    assert new.lr_scheduler.initial_lr == PRESET.lr


def another_network(
    trainer: LoopTrainer,
    *,
    n_classes: int = 2,
    n_channels: int = 1,
    features: tuple[int, ...] = (4, 8, 8),
) -> torch.nn.Module:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    configuration = trainer.configuration_manager
    arguments = dict(configuration.network_arch_init_kwargs)
    stages = len(features)
    arguments |= {"n_stages": stages, "features_per_stage": list(features)}
    for name in ("kernel_sizes", "strides", "n_conv_per_stage"):
        arguments[name] = arguments[name][:stages]
    arguments["n_conv_per_stage_decoder"] = arguments["n_conv_per_stage_decoder"][: stages - 1]
    network: torch.nn.Module = get_network_from_plans(
        configuration.network_arch_class_name,
        arguments,
        configuration.network_arch_init_kwargs_req_import,
        n_channels,
        n_classes + 1,
        deep_supervision=True,
    )
    return network


def test_nothing_half_written_stays_from_a_killed_process(workspace: Workspace) -> None:
    spec = make_spec(workspace, "unfinished", dataclasses.replace(PRESET, epochs=1))
    left = spec.fold_dir / f".{LATEST}.abcd.tmp"
    left.write_bytes(b"half a checkpoint")
    finished(spec)
    assert not left.exists()


@pytest.mark.parametrize(("device", "threads"), [("cpu", 3), ("cuda:1", 1), ("mps", 1)])
def test_threads_and_devices_are_set_as_nnunet_sets_them(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, device: str, threads: int
) -> None:
    from training.nnunet.learning import fold_process

    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    spec = dataclasses.replace(make_spec(workspace, f"device-{device[:3]}"), device=device)
    fold_process._set_up_torch(dataclasses.replace(spec, threads=3))
    assert given == [threads]
    assert torch.backends.cudnn.benchmark is (device != "cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they are spawned, not forked")
def test_processes_that_make_patches_end_with_a_killed_child(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside a GPU: nnU-Net's own augmentation, in processes that wait for ever."""
    environment = runner._environment
    monkeypatch.setattr(
        runner, "_environment", lambda spec: {**environment(spec), "nnUNet_n_proc_DA": "2"}
    )
    preset = dataclasses.replace(PRESET, augmentation="nnunet", epochs=1000)
    spec = make_spec(workspace, "workers", preset)
    makers: list[psutil.Process] = []

    def kill(_: EpochProgress) -> None:
        if not makers:
            child = fold_process(spec.fold_dir)
            makers.extend(child.children(recursive=True))
            child.kill()

    with pytest.raises(TrainingError, match="SIGKILL"):
        run_fold(spec, kill, lambda: False, poll_s=0.05)
    # Two for training, one for validation.
    assert len(makers) == 3
    deadline = time.monotonic() + 5
    while any(map(is_alive, makers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, makers))


def is_alive(process: psutil.Process) -> bool:
    # A dead one that nobody has looked at yet is a zombie.
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)

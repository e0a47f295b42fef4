"""The loop around trainers, in this process: named trainers, memory, plateau, resuming."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from converters.bookkeeping.documents import from_json, to_json, write_document
from converters.bookkeeping.files import read_json, write_json
from tests.integration.training import own_trainers
from tests.integration.training.discs import CLASS_VALUES, write_discs
from training.folds.log import read_progress
from training.folds.runner import run_fold
from training.folds.spec import FoldSpec
from training.folds.splits import assign_folds
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.learning.fold_process import main, train_fold
from training.nnunet.learning.trainer import LoopTrainer, make_trainer
from training.presets import TINY, Preset
from training.workspace import Workspace

PRESET = dataclasses.replace(
    TINY,
    n_folds=2,
    epochs=3,
    iterations_per_epoch=2,
    val_iterations=1,
    batch_size=4,
    features_per_stage=(4, 8, 8),
    max_image_side=48,
    max_patch_side=48,
    mirror_predict=False,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, cases = write_discs(tmp_path_factory.mktemp("trainer"), 8)
    folds = assign_folds({}, [case.case_id for case in cases], PRESET.n_folds)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, PRESET))
    return workspace


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")


def make_spec(workspace: Workspace, run: str, preset: Preset = PRESET, **more: object) -> FoldSpec:
    spec = FoldSpec(str(workspace.root), 7, run, 0, CLASS_VALUES, preset, **more)  # type: ignore[arg-type]
    spec.fold_dir.mkdir(parents=True)
    return spec


def named(trainer: str, **more: object) -> Preset:
    name = f"{own_trainers.__name__}:{trainer}"
    return dataclasses.replace(PRESET, trainer=name, **more)  # type: ignore[arg-type]


def ready(spec: FoldSpec) -> LoopTrainer:
    dataset = spec.workspace.preprocessed_dataset
    trainer = make_trainer(
        spec,
        read_json(dataset / "plans.json"),
        read_json(dataset / "dataset.json"),
        started=time.monotonic(),
    )
    trainer.initialize()
    return trainer


def finished(spec: FoldSpec) -> dict[str, object]:
    train_fold(spec, started=time.monotonic())
    result: dict[str, object] = read_json(spec.fold_dir / "result.json")
    return result


def test_a_named_trainer_keeps_its_own_ways(workspace: Workspace) -> None:
    spec = make_spec(workspace, "named", named("RmspropTrainer"))
    outcome = run_fold(spec, lambda _: None, lambda: False)
    assert outcome is not None
    assert (outcome.epochs, outcome.stopped) == (3, "")
    assert set(outcome.dice_per_class) == set(CLASS_VALUES)
    checkpoint = torch.load(spec.fold_dir / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["nnloop"]["trainer"] == spec.preset.trainer
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    trainer = ready(make_spec(workspace, "named2", named("RmspropTrainer")))
    assert isinstance(trainer.optimizer, torch.optim.RMSprop)
    assert type(trainer).__name__ == "RmspropTrainer"
    assert trainer.num_iterations_per_epoch == 2


def test_the_presets_own_trainer_takes_its_fields(workspace: Workspace) -> None:
    preset = dataclasses.replace(PRESET, mirroring=False, mirror_predict=True, lr=0.5)
    trainer = ready(make_spec(workspace, "own", preset))
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5
    trainer.on_train_start()
    # A network that never saw a mirrored image is not asked about one.
    assert trainer.mirror_axes == ()


def test_a_resumed_trainer_with_stages_is_in_the_right_one(workspace: Workspace) -> None:
    spec = make_spec(workspace, "stages", named("WarmupTrainer"))
    first = ready(spec)
    stop_after(first, 2)
    second = ready(spec)
    assert second.resume()
    assert second.current_epoch == 2
    assert second.training_stage == "train"
    second.run_training()
    rates = second.logger.get_value("lrs", None)
    assert len(rates) == 4
    assert rates[1] > rates[2] > rates[3] > 0


@pytest.mark.parametrize("budget_s", [None, 60.0])
def test_out_of_memory_halves_the_batch_and_goes_on(
    workspace: Workspace, budget_s: float | None
) -> None:
    spec = make_spec(workspace, f"memory{budget_s}", named("SmallMemory"), budget_s=budget_s)
    trainer = ready(spec)
    assert trainer.batch_size == 4
    # Under a budget memory runs out earlier, in the steps that are timed to plan the epochs.
    stop_after(trainer, 1)
    assert trainer.batch_size == 1
    # Learnt once: what goes on starts with the smaller batch.
    again = ready(spec)
    assert again.resume()
    assert again.batch_size == 1
    if budget_s is None:
        assert finished(spec)["batch_size"] == 1


def test_out_of_memory_with_single_patches_is_told_in_a_sentence(
    workspace: Workspace, tmp_path: Path
) -> None:
    spec = make_spec(workspace, "none", named("NoMemory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        finished(spec)
    write_document(tmp_path / "spec.json", FoldSpec, dataclasses.replace(spec, run="none2"))
    assert main([str(tmp_path / "spec.json")]) == 1
    error = read_json(dataclasses.replace(spec, run="none2").fold_dir / "error.json")
    assert error["message"] == "Training of fold 0 on cpu failed: out of memory."


def test_a_plateau_ends_training_early_and_survives_resuming(workspace: Workspace) -> None:
    # With a learning rate of nothing, nothing gets better.
    preset = dataclasses.replace(PRESET, epochs=60, lr=1e-12, patience=4)
    spec = make_spec(workspace, "plateau", preset)
    stop_after(ready(spec), 5)
    result = finished(spec)
    assert result["stopped"] == "plateau"
    # Seen after 5 to 13 epochs, ended 3 later.
    assert 8 <= int(str(result["epochs"])) <= 16
    rates = torch.load(spec.fold_dir / "checkpoint_final.pth", weights_only=True)["logging"]["lrs"]
    # The rest of the schedule, not a cut: the last rate is a fraction of the first.
    assert rates[-1] < 0.3 * rates[0]


def test_full_image_dice_and_time_to_go_are_reported(workspace: Workspace) -> None:
    preset = dataclasses.replace(PRESET, epochs=8, iterations_per_epoch=15, lr=4e-3)
    spec = make_spec(workspace, "dice", preset)
    result = finished(spec)
    rows = read_progress(spec.fold_dir)
    measured = [row for row in rows if row.case_dice is not None]
    assert measured
    for row in measured:
        assert set(row.case_dice or {}) == set(CLASS_VALUES)
    etas = [row.eta_s for row in rows]
    assert all(eta is not None and np.isfinite(eta) and eta >= 0 for eta in etas)
    assert (etas[-1] or 0) < (etas[0] or 0)
    assert (spec.fold_dir / "curves.png").exists()
    assert (spec.fold_dir.parent / "curves.png").exists()
    assert result["stopped"] == ""


def test_where_nothing_is_held_out_nothing_is_measured(workspace: Workspace) -> None:
    path = workspace.preprocessed_dataset / "splits_final.json"
    before = read_json(path)
    everything = sorted(before[0]["train"] + before[0]["val"])
    write_json(path, [{"train": everything, "val": everything}])
    try:
        spec = make_spec(workspace, "all", PRESET, holds_out=False)
        assert from_json(FoldSpec, json.loads(json.dumps(to_json(FoldSpec, spec)))) == spec
        result = finished(spec)
    finally:
        write_json(path, before)
    assert result["dice_per_case"] == result["dice_per_class"] == {}
    assert result["epochs"] == PRESET.epochs
    assert all(row.case_dice is None for row in read_progress(spec.fold_dir))


def test_a_short_budget_makes_short_epochs(workspace: Workspace) -> None:
    preset = dataclasses.replace(PRESET, iterations_per_epoch=100_000, val_iterations=50_000)
    spec = make_spec(workspace, "short", preset, budget_s=6.0)
    result = finished(spec)
    assert result["stopped"] == "budget"
    assert int(str(result["epochs"])) >= 2


def stop_after(trainer: LoopTrainer, epochs: int) -> None:
    """Trains as far as the checkpoint of that epoch, then stops as if killed."""

    def kill() -> None:
        if trainer.current_epoch == epochs:
            raise KeyboardInterrupt

    trainer.on_epoch_done = kill
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()


def _as_if_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net compiles on a GPU alone; everything else about it is the same here."""
    monkeypatch.setattr(nnUNetTrainer, "_do_i_compile", lambda self: True)


def test_without_a_compiler_training_goes_on_without_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slim image has none, and torch would say so at the first step."""
    _as_if_on_cuda(monkeypatch)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    spec = make_spec(workspace, "no-compiler", dataclasses.replace(PRESET, epochs=1))
    assert finished(spec)["epochs"] == 1
    assert capsys.readouterr().out.count("Training without torch.compile: there is no C comp") == 1


def test_a_compilation_that_fails_costs_no_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_if_on_cuda(monkeypatch)
    monkeypatch.setattr("training.nnunet.learning.limits.missing_compiler", lambda: "")
    calls: list[int] = []

    def broken(*_: object) -> object:
        calls.append(1)
        raise RuntimeError("Failed to find C compiler.")

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, backend=broken))
    spec = make_spec(workspace, "broken-compiler", dataclasses.replace(PRESET, epochs=1))
    assert finished(spec)["epochs"] == 1
    assert calls

"""The runner with a child of its own kind: any Python module can play the part."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from converters.bookkeeping.documents import from_json, to_json
from domain.errors import TrainingError
from tests.fakes.documents import fold_result
from tests.unit.training import helper_child, quiet_child
from training.folds import runner
from training.folds.runner import run_fold
from training.folds.spec import EpochProgress, FoldResult, FoldSpec
from training.presets import TINY

ROW = {
    "fold": 0,
    "epoch": 1,
    "epochs": 2,
    "train_loss": 0.1,
    "val_loss": 0.2,
    "dice": None,
    "seconds": 1.0,
    "time": 5.0,
}


@pytest.fixture
def spec(tmp_path: Path) -> FoldSpec:
    return FoldSpec(str(tmp_path), 1, "1", 0, ("a",), TINY)


def play(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setattr(runner, "CHILD_MODULE", module)


def test_spec_round_trip(spec: FoldSpec) -> None:
    assert from_json(FoldSpec, json.loads(json.dumps(to_json(FoldSpec, spec)))) == spec


def test_a_child_without_result_is_a_failure(
    spec: FoldSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, quiet_child.__name__)
    with pytest.raises(TrainingError, match="fold 0 ended with code 0 and no result"):
        run_fold(spec, lambda _: None, lambda: False, poll_s=0.02)
    assert '"project_id": 1' in (spec.fold_dir / "train.log").read_text()


def test_progress_is_told_in_order_without_half_lines(
    spec: FoldSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, quiet_child.__name__)
    spec.fold_dir.mkdir(parents=True)
    lines = [json.dumps(ROW), '{"fold": 0, "ep', json.dumps({**ROW, "epoch": 2}), '{"half']
    (spec.fold_dir / "progress.jsonl").write_text("\n".join(lines))
    (spec.fold_dir / "result.json").write_text(
        json.dumps(to_json(FoldResult, fold_result(epochs=2)))
    )
    seen: list[EpochProgress] = []
    outcome = run_fold(spec, seen.append, lambda: False)
    assert [row.epoch for row in seen] == [1, 2]
    assert outcome is not None
    assert outcome.epochs == 2


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cpu", "0,1", ""),
        ("mps", None, ""),
        ("cuda:1", None, "1"),
        ("cuda:1", "4, 6", "6"),
        ("cuda:0", "GPU-a,GPU-b", "GPU-a"),
    ],
)
def test_the_child_sees_only_its_device(
    spec: FoldSpec,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    visible: str | None,
    expected: str,
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environment = runner._environment(replace(spec, device=device, threads=3))
    assert environment["CUDA_VISIBLE_DEVICES"] == expected
    # A CPU's threads compute; beside a GPU they are processes that make patches, a thread each.
    assert environment["OMP_NUM_THREADS"] == ("3" if device == "cpu" else "1")
    assert environment["nnUNet_n_proc_DA"] == ("0" if device == "cpu" else "3")


@pytest.mark.parametrize("visible", ["", "-1", "4,-1,6"])
def test_a_hidden_gpu_is_not_used(
    spec: FoldSpec, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(TrainingError, match="no GPU cuda:1: CUDA_VISIBLE_DEVICES="):
        run_fold(replace(spec, device="cuda:1"), lambda _: None, lambda: False)


def test_a_stopped_child_leaves_no_process_behind(
    spec: FoldSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, helper_child.__name__)
    written = spec.fold_dir / "pids.json"
    assert run_fold(spec, lambda _: None, written.exists, poll_s=0.02) is None
    pids = json.loads(written.read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pids["helper"]) and time.monotonic() < deadline:
        if psutil.Process(pids["helper"]).status() == psutil.STATUS_ZOMBIE:
            break  # dead; whoever adopted it has not looked yet
        time.sleep(0.02)
    else:
        assert not psutil.pid_exists(pids["helper"])

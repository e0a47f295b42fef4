"""The runner with a child of its own kind: any Python module can play the part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.errors import TrainingError
from training import fold_runner
from training.fold_runner import run_fold
from training.folds import EpochProgress, FoldSpec
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
    monkeypatch.setattr(fold_runner, "CHILD_MODULE", module)


def test_spec_round_trip(spec: FoldSpec) -> None:
    assert FoldSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_child_without_result_is_a_failure(
    spec: FoldSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `python -m json.tool SPEC` ends with code 0 and leaves no result.
    play(monkeypatch, "json.tool")
    with pytest.raises(TrainingError, match="fold 0 ended with code 0 and no result"):
        run_fold(spec, lambda _: None, lambda: False, poll_s=0.02)
    assert '"project_id": 1' in (spec.fold_dir / "train.log").read_text()
    assert not (spec.fold_dir / "process.json").exists()


def test_progress_is_told_in_order_without_half_lines(
    spec: FoldSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, "json.tool")
    spec.fold_dir.mkdir(parents=True)
    lines = [json.dumps(ROW), '{"fold": 0, "ep', json.dumps({**ROW, "epoch": 2}), '{"half']
    (spec.fold_dir / "progress.jsonl").write_text("\n".join(lines))
    (spec.fold_dir / "result.json").write_text(json.dumps({"fold": 0, "epochs": 2}))
    seen: list[EpochProgress] = []
    outcome = run_fold(spec, seen.append, lambda: False)
    assert [row.epoch for row in seen] == [1, 2]
    assert outcome.finished
    assert outcome.epochs == 2


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cpu", "0,1", ""),
        ("cuda:1", "", "1"),
        ("cuda:1", "4,6", "6"),
        ("cuda:0", "GPU-a,GPU-b", "GPU-a"),
    ],
)
def test_the_child_sees_only_its_device(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    visible: str,
    expected: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    spec = FoldSpec(str(tmp_path), 1, "1", 0, ("a",), TINY, device=device, threads=3)
    environment = fold_runner._environment(spec)
    assert environment["CUDA_VISIBLE_DEVICES"] == expected
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["nnUNet_n_proc_DA"] == ("0" if device == "cpu" else "3")

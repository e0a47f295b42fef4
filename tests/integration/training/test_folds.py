"""Real folds: killed, continued, packaged, and good enough to be believed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from converters.bookkeeping.documents import write_document
from domain.errors import TrainingError
from tests.integration.fold_processes import fold_process
from tests.integration.training.conftest import PRESET, Trained
from tests.integration.training.discs import CLASS_VALUES, disc_image
from training.evaluation import dice_per_class, image_dice
from training.folds.film import read_pictures
from training.folds.runner import run_fold
from training.folds.spec import EpochProgress, FoldSpec
from training.nnunet.inference.predictor import FoldPredictor
from training.processes.forked import ForkServer

pytestmark = pytest.mark.slow


def test_a_killed_fold_says_so_and_loses_at_most_one_epoch(trained: Trained) -> None:
    assert "SIGKILL" in trained.killed_with
    assert [p.epoch for p in trained.before_kill][:2] == [1, 2]
    epochs = [p.epoch for p in trained.after_kill]
    assert set(epochs) == set(range(1, PRESET.epochs + 1))
    # Epochs told again or trained again: never more than the one that was cut off.
    assert len(epochs) <= PRESET.epochs + 1
    log = (trained.workspace.fold_dir("1", 0) / "train.log").read_text()
    assert "Epoch 0" in log.split("Epoch 1 ")[0]
    assert log.count("Epoch 0") == 1


def test_a_fold_keeps_how_it_learnt_also_when_it_was_killed(trained: Trained) -> None:
    for outcome in trained.outcomes:
        found = read_pictures(trained.workspace.fold_dir("1", outcome.fold))
        assert found is not None
        film = found.film
        epochs = [frame.epoch for frame in film.frames]
        assert epochs == sorted(set(epochs)) and len(found.predictions) == len(epochs)
        # How many lie between depends on the machine: measuring takes a small part of the time.
        assert epochs[0] == 0 and epochs[-1] == PRESET.epochs
        # A case that the fold holds out, and at the end what it is measured by.
        assert film.frames[-1].dice == outcome.dice_per_case[film.case_id]
        assert image_dice(film.frames[-1].dice.values()) > image_dice(film.frames[0].dice.values())


def test_progress_carries_finite_losses(trained: Trained) -> None:
    for row in trained.after_kill:
        assert np.isfinite(row.train_loss)
        assert np.isfinite(row.val_loss)
        assert row.seconds > 0
        assert row.epochs == PRESET.epochs
    assert trained.after_kill[-1].train_loss < trained.after_kill[0].train_loss


def test_every_case_is_held_out_exactly_once(trained: Trained) -> None:
    held_out = [case for outcome in trained.outcomes for case in outcome.dice_per_case]
    assert sorted(held_out) == [f"task_{i:08d}" for i in range(14)]


def test_what_held_out_predictions_say_of_themselves_is_near_the_truth(trained: Trained) -> None:
    for outcome in trained.outcomes:
        assert outcome.expected.keys() == outcome.dice_per_case.keys()
        expected = np.mean([one.soft_dice for one in outcome.expected.values()])
        true = np.mean([image_dice(dice.values()) for dice in outcome.dice_per_case.values()])
        # Few epochs leave probabilities soft.
        assert abs(expected - true) < 0.3
        assert not any(one.is_empty for one in outcome.expected.values())


def test_held_out_dice_is_far_above_chance(trained: Trained) -> None:
    for outcome in trained.outcomes:
        assert (outcome.dice_per_class["disc"] or 0.0) > 0.8
        assert (outcome.dice_per_class["square"] or 0.0) > 0.6


def test_the_packaged_version_segments_new_images(trained: Trained) -> None:
    predictor = FoldPredictor.load(trained.version_dir)
    scores = []
    for seed in range(100, 106):
        image, truth = disc_image(seed)
        probabilities = predictor.predict(image)
        assert probabilities.shape == (2, 3, 96, 96)
        label_map = probabilities.mean(axis=0).argmax(axis=0).astype(np.uint8)
        scores.append(dice_per_class(label_map, truth, 2))
    assert np.mean(scores, axis=0)[0] > 0.8


def test_a_finished_fold_is_not_trained_again(trained: Trained) -> None:
    spec = FoldSpec(str(trained.workspace.root), 7, "1", 1, CLASS_VALUES, PRESET)
    started = time.monotonic()
    outcome = run_fold(spec, lambda _: None, lambda: False)
    assert time.monotonic() - started < 5
    assert outcome == trained.outcomes[1]


def test_a_fold_is_stopped_on_request_then_warm_started_within_a_budget(
    trained: Trained, forks: ForkServer
) -> None:
    warm = trained.version_dir / "fold_0" / "checkpoint_final.pth"
    spec = FoldSpec(
        str(trained.workspace.root),
        7,
        "2",
        0,
        CLASS_VALUES,
        dataclasses.replace(PRESET, epochs=1000),
        budget_s=8.0,
        warm_start=str(warm),
    )
    beats: list[int] = []
    stopped = run_fold(
        spec, lambda _: None, lambda: len(beats) > 2, on_heartbeat=lambda: beats.append(1)
    )
    assert stopped is None
    outcome = run_fold(spec, lambda _: None, lambda: False, forks=forks)
    assert outcome is not None
    assert outcome.warm_started
    assert outcome.stopped == "budget"
    # How well the time is met depends on the machine; test_epoch_plan has a clock of its own.
    assert 1 <= outcome.epochs < 1000
    assert (outcome.dice_per_class["disc"] or 0.0) > 0.8


def test_killed_after_its_last_epoch_a_fold_keeps_what_it_learnt(
    trained: Trained, forks: ForkServer
) -> None:
    preset = dataclasses.replace(PRESET, epochs=2, iterations_per_epoch=2)
    spec = FoldSpec(str(trained.workspace.root), 7, "5", 0, CLASS_VALUES, preset)

    def kill_at_the_end(progress: EpochProgress) -> None:
        if progress.epoch == preset.epochs:
            fold_process(spec.fold_dir).kill()

    with pytest.raises(TrainingError, match="SIGKILL"):
        run_fold(spec, kill_at_the_end, lambda: False, forks=forks, poll_s=0.01)
    assert not (spec.fold_dir / "result.json").exists()
    outcome = run_fold(spec, lambda _: None, lambda: False, forks=forks)
    assert outcome is not None and outcome.epochs == preset.epochs
    assert (spec.fold_dir / "train.log").read_text().count("Epoch 0") == 1


def test_a_child_reports_its_own_failure_in_one_sentence(trained: Trained, tmp_path: Path) -> None:
    spec = FoldSpec(str(trained.workspace.root), 7, "3", 9, CLASS_VALUES, PRESET)
    with pytest.raises(TrainingError, match="fold 9") as caught:
        run_fold(spec, lambda _: None, lambda: False)
    assert "Traceback" not in str(caught.value)
    assert "train.log" in caught.value.remedy
    assert "Traceback" in (spec.fold_dir / "train.log").read_text()


@pytest.mark.parametrize("is_loading", [True, False])
def test_the_child_dies_with_its_parent(trained: Trained, tmp_path: Path, is_loading: bool) -> None:
    """Also when the parent dies while the child still loads its libraries, for seconds."""
    run = "4" if is_loading else "6"
    spec = FoldSpec(str(trained.workspace.root), 7, run, 0, CLASS_VALUES, PRESET)
    path = tmp_path / "spec.json"
    write_document(path, FoldSpec, spec)
    code = (
        "import pathlib, sys; from training.folds.runner import run_fold;"
        "from converters.bookkeeping.documents import read_document;"
        "from training.folds.spec import FoldSpec;"
        "run_fold(read_document(pathlib.Path(sys.argv[1]), FoldSpec), print, lambda: False)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=Path(__file__).resolve().parents[3]
    )
    deadline = time.monotonic() + 60
    child = fold_process(spec.fold_dir)
    # Its first file.
    written = spec.fold_dir / "plans.json"
    while not is_loading and not written.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert written.exists() is not is_loading
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=30 if is_loading else 5)
    assert not alive
    assert written.exists() is not is_loading

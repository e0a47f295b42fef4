"""Real folds forked from a warm process: as those that are started, in a fraction of the time."""

from __future__ import annotations

import dataclasses

import psutil
import pytest

from domain.errors import TrainingError
from tests.integration.fold_processes import fold_process
from tests.integration.training.conftest import PRESET, Trained
from tests.integration.training.discs import CLASS_VALUES
from training.folds.runner import run_fold
from training.folds.spec import EpochProgress, FoldSpec
from training.processes.forked import ForkServer

pytestmark = pytest.mark.slow


def _spec(trained: Trained, run: str, **fields: object) -> FoldSpec:
    preset = dataclasses.replace(PRESET, epochs=3, iterations_per_epoch=5)
    spec = FoldSpec(str(trained.workspace.root), 7, run, 0, CLASS_VALUES, preset)
    return dataclasses.replace(spec, **fields)  # type: ignore[arg-type]


def test_a_forked_fold_comes_to_what_a_started_one_comes_to(
    trained: Trained, forks: ForkServer
) -> None:
    started = run_fold(_spec(trained, "20"), lambda _: None, lambda: False)
    forked = run_fold(_spec(trained, "21"), lambda _: None, lambda: False, forks=forks)
    assert started is not None and forked is not None
    assert forked.dice_per_case == started.dice_per_case
    log = (_spec(trained, "21").fold_dir / "train.log").read_text()
    assert log.count("Epoch 2") == 1


def test_a_killed_fold_goes_on_in_another_fork(trained: Trained, forks: ForkServer) -> None:
    spec = _spec(trained, "22")

    def kill_after_two(progress: EpochProgress) -> None:
        if progress.epoch == 2:
            fold_process(spec.fold_dir).kill()

    with pytest.raises(TrainingError, match="SIGKILL"):
        run_fold(spec, kill_after_two, lambda: False, forks=forks, poll_s=0.01)
    result = run_fold(spec, lambda _: None, lambda: False, forks=forks, poll_s=0.1)
    assert result is not None and result.epochs == 3
    assert (spec.fold_dir / "train.log").read_text().count("Epoch 0") == 1


def test_a_fold_is_stopped_and_the_server_goes_on(trained: Trained, forks: ForkServer) -> None:
    endless = dataclasses.replace(PRESET, epochs=1000)
    spec = _spec(trained, "23", preset=endless)
    pids: list[int] = []

    def stop() -> bool:
        pids.append(fold_process(spec.fold_dir).pid)
        return True

    assert run_fold(spec, lambda _: None, stop, forks=forks, poll_s=0.1) is None
    assert not psutil.pid_exists(pids[0])
    assert run_fold(_spec(trained, "24"), lambda _: None, lambda: False, forks=forks) is not None


def test_why_a_forked_fold_failed_is_told(trained: Trained, forks: ForkServer) -> None:
    with pytest.raises(TrainingError, match="fold 9"):
        run_fold(_spec(trained, "25", fold=9), lambda _: None, lambda: False, forks=forks)

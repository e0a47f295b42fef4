"""A trainer whose model could not serve fails a run before its folds are there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from backend.pipeline.runs.stages import advance
from backend.pipeline.sync.reading import sync_project
from backend.store.training import runs
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.preparing import SETTINGS, label


class _Broken(torch.nn.Conv2d):  # type: ignore[misc]
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if not self.training:
            raise ZeroDivisionError("made for training")
        return super().forward(image)


class BrokenTrainer(nnUNetTrainer):  # type: ignore[misc]
    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return _Broken(values[-3], values[-2], 1)


class WorkingTrainer(nnUNetTrainer):  # type: ignore[misc]
    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return torch.nn.Conv2d(values[-3], values[-2], 1)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", [BrokenTrainer, WorkingTrainer])
def test_the_run_says_so_at_once(app: FakeApp, trainer: type[Any]) -> None:
    label(app.label_studio, 1, 2, 3)
    app.change_settings(**SETTINGS)
    sync_project(app.context, PROJECT)
    settings = {**SETTINGS, "trainer": f"{__name__}:{trainer.__name__}"}
    run_id = app.add_run(RunStatus.PREPARING, settings=settings)
    advance(app.context, run_id)
    run = app.run(run_id)
    with app.store.begin() as session:
        folds = runs.folds_of(session, run_id)
    if trainer is WorkingTrainer:
        assert (run.status, len(folds)) == (RunStatus.TRAINING, 2)
    else:
        assert (run.status, folds) == (RunStatus.FAILED, [])
        assert "ZeroDivisionError: made for training" in run.error
        assert "BrokenTrainer" in run.error

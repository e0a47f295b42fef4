from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.errors import TrainingError
from tests.integration.fold_processes import fold_process
from tests.integration.training.discs import CLASS_VALUES, write_discs
from training.folds.runner import fold_server, run_fold
from training.folds.spec import EpochProgress, FoldResult, FoldSpec
from training.folds.splits import assign_folds
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.presets import TINY
from training.processes.forked import ForkServer
from training.versions.version_folder import VersionInfo, library_versions, package_version
from training.workspace import Workspace

PRESET = dataclasses.replace(
    TINY, n_folds=2, epochs=5, iterations_per_epoch=20, max_image_side=80, max_patch_side=80
)


@dataclass
class Trained:
    workspace: Workspace
    version_dir: Path
    outcomes: list[FoldResult]
    killed_with: str
    before_kill: list[EpochProgress]
    after_kill: list[EpochProgress]


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """A process that has loaded nnU-Net, as a worker has: seconds less for each fold."""
    server = fold_server("cpu", 1, 2)
    server.warm()
    yield server
    server.close()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Trained:
    """Two folds of real training; the child of fold 0 is killed after its second epoch."""
    workspace, cases = write_discs(tmp_path_factory.mktemp("discs"), 14)
    folds = assign_folds({}, [case.case_id for case in cases], PRESET.n_folds)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, PRESET))

    def spec(fold: int) -> FoldSpec:
        return FoldSpec(str(workspace.root), 7, "1", fold, CLASS_VALUES, PRESET, seed=fold)

    before: list[EpochProgress] = []

    def kill_after_two(progress: EpochProgress) -> None:
        before.append(progress)
        if progress.epoch == 2:
            fold_process(spec(0).fold_dir).kill()

    killed_with = ""
    try:
        run_fold(spec(0), kill_after_two, lambda: False, poll_s=0.05)
    except TrainingError as error:
        killed_with = str(error)
    after: list[EpochProgress] = []
    found = [run_fold(spec(0), after.append, lambda: False, poll_s=0.1)]
    found.append(run_fold(spec(1), lambda _: None, lambda: False, forks=forks, poll_s=0.1))
    outcomes = [result for result in found if result is not None]
    info = VersionInfo("v1", CLASS_VALUES, 1, PRESET, (0, 1), library_versions())
    version_dir = package_version(workspace, "1", info)
    return Trained(workspace, version_dir, outcomes, killed_with, before, after)

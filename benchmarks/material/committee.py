"""Committees of benchmarks: the folds of a set, trained as a run of nnloop's trains them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.material.shared_data import PROJECT, Project
from training.devices import VARIABLE, list_devices
from training.folds.runner import run_fold
from training.folds.spec import FoldResult, FoldSpec
from training.presets import Preset


def train_folds(project: Project, run: str, preset: Preset, seed: int) -> list[FoldResult]:
    """The folds, as many at once as a run of nnloop's trains on this machine's CPU.

    Args:
        project: As written by ``write_project``.
        run: The name of the run's folder.
        preset: How they are trained.
        seed: Of the committee; each fold gets one of its own from it.
    """

    def train(fold: int) -> FoldResult:
        spec = FoldSpec(
            workspace_root=str(project.workspace.root),
            project_id=PROJECT,
            run=run,
            fold=fold,
            class_values=project.class_values,
            preset=preset,
            seed=100 * seed + fold,
        )
        outcome = run_fold(spec, lambda _: None, lambda: False)
        assert outcome is not None
        return outcome

    workers = list_devices({VARIABLE: "cpu"})[0].workers
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(train, sorted(set(project.folds.values()))))

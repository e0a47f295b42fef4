from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from converters.bookkeeping.files import read_json, write_json
from tests.integration.training.discs import CLASS_VALUES, write_discs
from tests.unit.backend.conftest import migrated_database
from training.folds.splits import assign_folds
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.environment import nnunet_roots
from training.presets import TINY

__all__ = ["migrated_database"]

PRESET = dataclasses.replace(TINY, n_folds=2, max_image_side=80, max_patch_side=80)
MODEL = "nnUNetTrainer__nnUNetPlans__2d"


@dataclass(frozen=True)
class Foreign:
    """A model made by nnU-Net itself: its folder, and its zip by nnU-Net's own command."""

    folder: Path
    zip: Path


def nnunet(results: Path, *command: str, environment: Mapping[str, str] | None = None) -> str:
    """Runs one of nnU-Net's commands; returns what it printed.

    All of nnU-Net's folders are ``results`` where the environment does not say otherwise.
    """
    environment = {
        **os.environ,
        "nnUNet_raw": str(results),
        "nnUNet_preprocessed": str(results),
        "nnUNet_results": str(results),
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
        **(environment or {}),
    }
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [str(program), *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """Two folds of one short epoch by nnU-Net's own trainer, with the checkpoints it writes."""
    root = tmp_path_factory.mktemp("foreign")
    workspace, cases = write_discs(root, 8)
    folds = assign_folds({}, [case.case_id for case in cases], 2)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, PRESET))
    dataset_folder = workspace.preprocessed_dataset
    plans, dataset = (read_json(dataset_folder / n) for n in ("plans.json", "dataset.json"))
    plans["dataset_name"] = workspace.dataset_name
    # A person names classes without an integer in front.
    dataset["labels"] = {"background": 0, "disc": 1, "square": 2}
    results = root / "results"
    with (
        nnunet_roots(workspace.raw_root, workspace.preprocessed_root, results),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("nnUNet_n_proc_DA", "0")  # in this process
        for fold in range(2):
            torch.manual_seed(fold)
            trainer = nnUNetTrainer(
                {**plans, "continue_training": False}, "2d", fold, dataset, torch.device("cpu")
            )
            trainer.num_epochs = 1
            trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 15, 1
            trainer.run_training()
            # nnU-Net's export asks for it; its own validation would write it.
            write_json(Path(trainer.output_folder) / "validation" / "summary.json", {})
    folder = results / workspace.dataset_name / MODEL
    file = root / "model.zip"
    nnunet(
        results,
        *("nnUNetv2_export_model_to_zip", "-d", workspace.dataset_name, "-o", str(file)),
        *("-c", "2d", "-f", "0", "1"),
    )
    return Foreign(folder, file)

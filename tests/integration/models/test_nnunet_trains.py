"""nnU-Net's own commands learn from what nnloop exports: plan, preprocess, one short epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from converters.bookkeeping.files import read_json
from tests.integration.models.conftest import nnunet
from tests.unit.backend.from_files.material import region, task, write_export

pytestmark = pytest.mark.slow

NAME = "Dataset123_Vessels"
TRAINER = "nnUNetTrainer_short"

SHORT = f"""
import os, sys

if os.path.basename(sys.argv[0]) == "nnUNetv2_train":
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

    class {TRAINER}(module.nnUNetTrainer):
        # nnU-Net keeps the arguments by the names that this signature has.
        def __init__(self, plans, configuration, fold, dataset_json, device):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = 1
            self.num_iterations_per_epoch = self.num_val_iterations_per_epoch = 1

    module.{TRAINER} = {TRAINER}
"""
"""sitecustomize.py of the commands. Its trainer is found in the first module that nnU-Net looks
through: the next one wants timm, and with it a torchvision that does not load beside a torch for
CPUs. nnUNet_extTrainer is looked through after all of them."""


def test_nnunet_trains_on_an_exported_data_set(tmp_path: Path) -> None:
    rows = [task(n, [region("wall"), region("lumen", at=14, size=8)]) for n in range(1, 6)]
    export = write_export(tmp_path / "in", rows)
    raw = tmp_path / "raw" / NAME
    arguments = ["export", export, "--images", export.parent / "images", "--out", raw]
    arguments += ["--union", "vessel=lumen+wall"]
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    (tmp_path / "sitecustomize.py").write_text(SHORT)
    more = {
        "PYTHONPATH": str(tmp_path),
        "nnUNet_raw": str(raw.parent),
        "nnUNet_preprocessed": str(tmp_path / "preprocessed"),
        "nnUNet_n_proc_DA": "1",  # planning takes no less
    }
    results = tmp_path / "results"
    check = ("--verify_dataset_integrity", "-c", "2d", "-npfp", "1", "-np", "1")
    nnunet(results, "nnUNetv2_plan_and_preprocess", "-d", "123", *check, environment=more)
    train = ("nnUNetv2_train", "123", "2d", "0", "-device", "cpu", "-tr", TRAINER)
    nnunet(results, *train, environment=more | {"nnUNet_n_proc_DA": "0"})
    model = results / NAME / f"{TRAINER}__nnUNetPlans__2d"
    assert (model / "fold_0" / "checkpoint_final.pth").is_file()
    labels = read_json(model / "dataset.json")["labels"]
    integers = read_json(raw / "classes.json")
    assert labels == {"background": 0, "vessel": [1, 2], "lumen": integers["lumen"]}
    summary = read_json(model / "fold_0" / "validation" / "summary.json")
    # One held-out case; the union and the class within it are measured.
    assert len(summary["metric_per_case"]) == 1
    assert len(summary["mean"]) == 2

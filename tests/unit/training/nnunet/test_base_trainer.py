"""What is loaded late is not loaded before, and works when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.nnunet import base_trainer

MODULE = sys.modules[base_trainer.nnUNetTrainer.__module__]

CODE = """
import sys
from training.nnunet.base_trainer import nnUNetTrainer
assert "torch._dynamo" not in sys.modules and "seaborn" not in sys.modules
assert not isinstance(1, sys.modules[nnUNetTrainer.__module__].OptimizedModule)
"""


@pytest.mark.slow
def test_neither_compiler_nor_plots_are_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_trainer_knows_a_compiled_network() -> None:
    plain = torch.nn.Linear(2, 2)
    assert not isinstance(plain, MODULE.OptimizedModule)
    assert isinstance(torch.compile(plain), MODULE.OptimizedModule)


def test_nnunets_own_picture_of_a_training_is_drawn(tmp_path: Path) -> None:
    from nnunetv2.training.logging.nnunet_logger import LocalLogger

    logger = LocalLogger()
    for key in logger.my_fantastic_logging:
        for epoch in range(3):
            logger.log(key, [0.5] if "per_class" in key else 0.5, epoch)
    logger.plot_progress_png(str(tmp_path))
    assert (tmp_path / "progress.png").stat().st_size > 1000

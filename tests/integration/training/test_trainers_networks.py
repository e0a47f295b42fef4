"""Real, short trainings with networks of other people: they serve, or fail before they train."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.bookkeeping.files import read_json
from domain.errors import PredictionError, TrainerError
from tests.integration.training import network_trainers
from tests.integration.training.discs import CLASS_VALUES, write_discs
from tests.integration.training.network_trainers import CANT_SERVE, SIGNATURES
from tests.integration.training.test_trainer import PRESET
from training.case_files import read_case_image
from training.folds.runner import run_fold
from training.folds.spec import FINAL, PROGRESS, RESULT, FoldSpec
from training.folds.splits import assign_folds
from training.nnunet.architecture import build_network
from training.nnunet.checkpoint import read_checkpoint, write_checkpoint
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.inference.trial import try_fresh_network, try_version
from training.nnunet.learning.fold_process import train_fold
from training.nnunet.learning.trainer import make_trainer
from training.versions.version_folder import VersionInfo, package_version
from training.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, cases = write_discs(tmp_path_factory.mktemp("networks"), 6)
    folds = assign_folds({}, [case.case_id for case in cases], PRESET.n_folds)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, PRESET))
    return workspace


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")


def spec_of(workspace: Workspace, trainer: type[Any], run: str = "") -> FoldSpec:
    name = f"{network_trainers.__name__}:{trainer.__name__}"
    preset = replace(PRESET, trainer=name)
    spec = FoldSpec(str(workspace.root), 7, run or trainer.__name__, 0, CLASS_VALUES, preset)
    spec.fold_dir.mkdir(parents=True, exist_ok=True)
    return spec


def case_of(workspace: Workspace) -> str:
    splits = read_json(workspace.preprocessed_dataset / "splits_final.json")
    return str(splits[0]["val"][0])


@pytest.mark.parametrize("trainer", SIGNATURES)
def test_every_signature_trains_is_packaged_and_predicts(
    workspace: Workspace, trainer: type[Any]
) -> None:
    spec = spec_of(workspace, trainer)
    try_fresh_network(workspace, case_of(workspace), spec.preset, "cpu")
    train_fold(spec, started=time.monotonic())
    image = read_case_image(workspace, case_of(workspace))
    info = VersionInfo(trainer.__name__, CLASS_VALUES, 1, spec.preset, (0,), {})
    path = package_version(
        workspace, spec.run, info, check=lambda folder: try_version(folder, image, device="cpu")
    )
    probabilities = FoldPredictor.load(path).predict(image)
    assert probabilities.shape == (1, 3, 96, 96)
    # They are the trained network's, and not those of weights at random.
    weights = read_checkpoint(path / "fold_0" / FINAL, torch.device("cpu"))["network_weights"]
    assert set(weights) == set(network_trainers.SmallNet(1, 3).state_dict())
    result = read_json(spec.fold_dir / RESULT)
    assert result["dice_per_case"].keys() >= {case_of(workspace)}


@pytest.mark.parametrize(("trainer", "words"), CANT_SERVE.items())
def test_what_cant_serve_is_told_of_before_any_epoch(
    workspace: Workspace, trainer: type[Any], words: str
) -> None:
    spec = spec_of(workspace, trainer)
    with pytest.raises(TrainerError, match=words) as caught:
        train_fold(spec, started=time.monotonic())
    assert caught.value.remedy
    assert not (spec.fold_dir / PROGRESS).exists()
    # Nothing of the trial is left.
    assert not list(spec.fold_dir.glob(".trial-*"))


@pytest.mark.parametrize("name", ["EvalFailsTrainer", "OneMapTooFew", "NoNumbers", "NotStatic"])
def test_most_are_told_of_before_any_fold_is_queued(workspace: Workspace, name: str) -> None:
    trainer = getattr(network_trainers, name)
    spec = spec_of(workspace, trainer)
    with pytest.raises(TrainerError, match=CANT_SERVE[trainer]):
        try_fresh_network(workspace, case_of(workspace), spec.preset, "cpu")


def test_the_parent_hears_that_another_try_is_of_no_use(workspace: Workspace) -> None:
    spec = spec_of(workspace, network_trainers.EvalFailsTrainer, "parent")
    with pytest.raises(TrainerError, match="the gate is open") as caught:
        run_fold(spec, lambda _: None, lambda: False)
    assert "evaluation mode" in caught.value.remedy


def test_a_trial_draws_no_random_numbers_of_the_training(workspace: Workspace) -> None:
    spec = spec_of(workspace, network_trainers.TodaysTrainer, "random")
    torch.manual_seed(5)
    try_fresh_network(workspace, case_of(workspace), spec.preset, "cpu")
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_a_version_that_cant_predict_is_not_packaged(workspace: Workspace) -> None:
    """Its checkpoint went bad between the end of the fold and the gate."""
    spec = spec_of(workspace, network_trainers.Of22Trainer, "bad")
    train_fold(spec, started=time.monotonic())
    image = read_case_image(workspace, case_of(workspace))
    info = VersionInfo("bad", CLASS_VALUES, 1, spec.preset, (0,), {})

    def check(folder: Path) -> None:
        try_version(folder, image, device="cpu")

    path = spec.fold_dir / FINAL
    whole = read_checkpoint(path, torch.device("cpu"))
    weights = dict(whole["network_weights"])
    for fault, message in (
        (weights | {"last.bias": torch.full((3,), torch.nan)}, "no number"),
        ({k: v for k, v in weights.items() if k != "last.bias"}, "last.bias"),
    ):
        write_checkpoint(path, {**whole, "network_weights": fault})
        with pytest.raises(PredictionError, match=message):
            package_version(workspace, spec.run, info, check=check)
        assert not workspace.version_dir("bad").exists()
    path.write_bytes(b"cut off")
    with pytest.raises(PredictionError, match="can't be loaded"):
        package_version(workspace, spec.run, info, check=check)
    write_checkpoint(path, whole)
    assert package_version(workspace, spec.run, info, check=check).exists()


def test_one_function_builds_for_every_trainer(workspace: Workspace) -> None:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folder = workspace.preprocessed_dataset
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    torch.manual_seed(0)
    reference = network_trainers.SmallNet(1, 3).eval()
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 48, 48)))
    for trainer in SIGNATURES:
        network = build_network(trainer, PlansManager(plans), dataset).eval()
        network.load_state_dict(reference.state_dict())
        with torch.inference_mode():
            assert torch.equal(network(image.float()), reference(image.float()))
        # The same through the class that trains.
        own = make_trainer(
            spec_of(workspace, trainer, "built"), plans, dataset, started=time.monotonic()
        )
        own.initialize()
        assert own.plain_network.state_dict().keys() == reference.state_dict().keys()

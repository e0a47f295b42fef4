from __future__ import annotations

from pathlib import Path

import pytest

from converters.files import read_json, write_json
from domain.errors import PredictionError, TrainingError
from training.presets import TINY
from training.versions import package_version, read_version
from training.workspace import Workspace

FILES = ("checkpoint_final.pth", "result.json", "progress.jsonl", "plans.json", "dataset.json")


def _finish(workspace: Workspace, fold: int) -> None:
    for name in FILES:
        write_json(workspace.fold_dir(1, fold) / name, [name, fold])


def _package(workspace: Workspace, folds: tuple[int, ...]) -> Path:
    return package_version(
        workspace, 1, "v1", class_values=("a", "b"), n_channels=3, preset=TINY, folds=folds
    )


def test_a_version_outlives_its_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    for fold in (0, 2):
        _finish(workspace, fold)
    folder = _package(workspace, (2, 0))
    for fold in (0, 2):
        write_json(workspace.fold_dir(1, fold) / FILES[0], "trained again")
        assert read_json(folder / f"fold_{fold}" / FILES[0]) == [FILES[0], fold]
    version = read_version(folder)
    assert version.folds == (0, 2)
    assert version.class_values == ("a", "b")
    assert version.preset == TINY
    assert set(version.libraries) == {"nnunetv2", "torch", "numpy"}


def test_packaging_twice_changes_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _finish(workspace, 0)
    folder = _package(workspace, (0,))
    before = (folder / "version.json").stat().st_mtime_ns
    assert _package(workspace, (0,)) == folder
    assert (folder / "version.json").stat().st_mtime_ns == before


def test_unfinished_folds_leave_no_version_behind(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _finish(workspace, 0)
    with pytest.raises(TrainingError, match="Fold 1 of run 1"):
        _package(workspace, (0, 1))
    assert not workspace.models.exists()


def test_an_interrupted_packaging_leaves_no_version_behind(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _finish(workspace, 0)
    (workspace.fold_dir(1, 0) / "plans.json").unlink()
    with pytest.raises(FileNotFoundError):
        _package(workspace, (0,))
    assert list(workspace.models.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_broken_version_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "version.json").write_text(text)
    with pytest.raises(PredictionError, match="no usable version"):
        read_version(tmp_path)

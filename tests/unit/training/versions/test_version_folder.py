from __future__ import annotations

from pathlib import Path

import pytest

from converters.bookkeeping.documents import read_document, to_json
from converters.bookkeeping.files import read_json, write_json
from domain.case import Manifest
from domain.errors import PredictionError, TrainingError
from training.presets import TINY
from training.versions.metrics import VersionMetrics
from training.versions.version_folder import (
    VersionInfo,
    library_versions,
    package_version,
    read_manifest,
    read_version,
    remove_weights,
    size_bytes,
)
from training.workspace import Workspace

FILES = ("checkpoint_final.pth", "result.json", "progress.jsonl", "plans.json", "dataset.json")


def _finish(workspace: Workspace, fold: int) -> None:
    for name in FILES:
        write_json(workspace.fold_dir(1, fold) / name, [name, fold])


def _package(workspace: Workspace, folds: tuple[int, ...]) -> Path:
    info = VersionInfo("v1", ("a", "b"), 3, TINY, folds, library_versions())
    return package_version(workspace, 1, info)


def test_a_version_outlives_its_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    for fold in (0, 2):
        _finish(workspace, fold)
    folder = _package(workspace, (0, 2))
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


def test_a_version_says_what_made_it_and_is_never_written_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _finish(workspace, 0)
    write_json(workspace.preprocessed_dataset / "dataset_fingerprint.json", {"spacings": []})
    manifest = Manifest((), class_values=("a",), n_folds=1)
    folder = package_version(
        workspace,
        1,
        VersionInfo("v1", ("a",), 1, TINY, (0,), library_versions(), settings={"seed": 3}),
        manifest=manifest,
        metrics=VersionMetrics(labels=12),
    )
    info = read_version(folder)
    assert info.settings == {"seed": 3} and info.created_at > 0
    assert read_manifest(folder) == manifest
    assert read_document(folder / "metrics.json", VersionMetrics) == VersionMetrics(labels=12)
    assert (folder / "dataset_fingerprint.json").exists()
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o444}


def test_a_version_of_another_form_is_refused(tmp_path: Path) -> None:
    value = to_json(VersionInfo, VersionInfo("v1", ("a",), 1, TINY, (0,), {}))
    write_json(tmp_path / "version.json", value | {"form": 2})
    with pytest.raises(PredictionError, match="form: Input should be 1, got 2"):
        read_version(tmp_path)


def test_pruning_leaves_what_says_how_it_came_about(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _finish(workspace, 0)
    folder = _package(workspace, (0,))
    whole = size_bytes(folder)
    [checkpoint] = folder.rglob("*.pth")
    n_bytes = checkpoint.stat().st_size
    assert remove_weights(folder) == 0  # the run's folder holds them still
    assert size_bytes(folder) == whole - n_bytes < whole
    assert remove_weights(workspace.run_dir(1)) == n_bytes
    assert not list(folder.rglob("*.pth"))
    assert read_version(folder).folds == (0,)
    assert remove_weights(folder) == 0
    assert size_bytes(folder / "nowhere") == 0

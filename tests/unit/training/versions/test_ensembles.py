from __future__ import annotations

from pathlib import Path

import pytest

from converters.bookkeeping.files import write_json
from domain.case import Manifest
from domain.errors import PredictionError, SettingsError
from training.presets import FULL, TINY, Preset
from training.versions.ensembles import EnsembleParts, package_ensemble
from training.versions.metrics import VersionMetrics
from training.versions.named_plans import find_plans
from training.versions.version_folder import (
    VersionInfo,
    member_dirs,
    read_manifest,
    read_version,
    remove_weights,
    size_bytes,
    write_version,
)
from training.workspace import Workspace


def _member(workspace: Workspace, name: str, preset: Preset = TINY) -> Path:
    info = VersionInfo(name, ("lumen",), 1, preset, (0, 1), {})

    def fill(folder: Path) -> None:
        write_json(folder / "plans.json", {})
        for fold in info.folds:
            path = folder / f"fold_{fold}" / "checkpoint_final.pth"
            path.parent.mkdir()
            path.write_bytes(bytes(1000))

    return write_version(workspace, info, fill, manifest=Manifest((), n_folds=2))


def _ensemble(workspace: Workspace, *members: Path) -> Path:
    return package_ensemble(
        workspace,
        "nnloop-e1",
        EnsembleParts(members, [(0, 0), (1, None)]),
        manifest=Manifest((), n_folds=3),
        metrics=VersionMetrics(labels=2),
    )


def test_an_ensemble_outlives_its_members(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    members = [_member(workspace, "a"), _member(workspace, "b")]
    folder = _ensemble(workspace, *members)
    info = read_version(folder)
    assert (info.members, info.member_folds) == (("a", "b"), ((0, 0), (1, None)))
    assert (info.folds, info.class_values, info.n_channels) == ((0, 1), ("lumen",), 1)
    assert info.preset.name == "ensemble"
    assert read_manifest(folder) == Manifest((), n_folds=3)
    held = [path / "fold_1" / "checkpoint_final.pth" for path in member_dirs(folder, info)]
    assert held[0].samefile(members[0] / "fold_1" / "checkpoint_final.pth")
    assert size_bytes(folder) > 4000
    # The member's weights go, but not their bytes: the ensemble holds them.
    assert remove_weights(members[0]) == 0
    assert held[0].read_bytes() == bytes(1000)
    assert read_version(folder / "members" / "a").name == "a"
    # 2,000 bytes of the first member are its alone now, those of the second are not.
    assert remove_weights(folder) == 2000
    assert remove_weights(members[1]) == 2000
    assert _ensemble(workspace, *members) == folder  # made once, never again


@pytest.mark.parametrize(("other", "asks"), [(FULL, True), (TINY, False)])
def test_postprocessing_is_asked_for_when_all_members_do(
    tmp_path: Path, other: Preset, asks: bool
) -> None:
    workspace = Workspace(tmp_path, 1)
    folder = _ensemble(workspace, _member(workspace, "a", FULL), _member(workspace, "b", other))
    assert read_version(folder).preset.postprocess is asks


def test_a_pruned_member_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    members = [_member(workspace, "a"), _member(workspace, "b")]
    remove_weights(members[1])
    with pytest.raises(PredictionError, match="b has no weights of fold 0"):
        _ensemble(workspace, *members)
    assert sorted(path.name for path in workspace.models.iterdir()) == ["a", "b"]


def test_an_ensembles_plans_are_named_by_its_members(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    _ensemble(workspace, _member(workspace, "a"), _member(workspace, "b"))
    assert find_plans(workspace, "a") == workspace.version_dir("a") / "plans.json"
    with pytest.raises(SettingsError, match="nnloop-e1 is an ensemble") as caught:
        find_plans(workspace, "nnloop-e1")
    assert caught.value.remedy == "Name the plans of one: a, b."

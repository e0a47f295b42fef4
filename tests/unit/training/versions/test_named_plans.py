from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import SettingsError
from training.versions.named_plans import find_plans, plans_hash
from training.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, 3)
    workspace.named_plans.mkdir(parents=True)
    (workspace.named_plans / "large.json").write_text('{"a": 1}')
    folder = workspace.version_dir("nnloop-v2")
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text('{"b": 1}')
    return workspace


def test_a_name_a_version_and_a_path(workspace: Workspace) -> None:
    named = workspace.named_plans / "large.json"
    assert find_plans(workspace, "large") == find_plans(workspace, "large.json") == named
    assert find_plans(workspace, "nnloop-v2") == workspace.version_dir("nnloop-v2") / "plans.json"
    assert find_plans(workspace, str(named)) == named


@pytest.mark.parametrize("name", ["small", "/no/such/plans.json"])
def test_what_is_not_there_is_refused_with_what_is(workspace: Workspace, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        find_plans(workspace, name)
    assert repr(name) in str(caught.value)
    assert "large, nnloop-v2" in caught.value.remedy


@pytest.mark.parametrize("name", ["plans/large.json", "..", ".hidden"])
def test_a_relative_path_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(SettingsError, match="relative path"):
        find_plans(workspace, name)


def test_a_changed_file_changes_the_hash(workspace: Workspace) -> None:
    before = plans_hash(workspace, "large")
    (workspace.named_plans / "large.json").write_text('{"a": 2}')
    assert plans_hash(workspace, "large") != before
    assert plans_hash(workspace, None) == ""

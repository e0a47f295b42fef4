from __future__ import annotations

from pathlib import Path

import pytest

from training.workspace import Workspace


def test_paths_lie_below_the_project(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 12)
    assert workspace.fold_dir(3, 1) == tmp_path / "projects" / "12" / "runs" / "3" / "fold_1"
    assert workspace.version_dir("p12-v3.1") == tmp_path / "projects" / "12" / "models" / "p12-v3.1"
    assert workspace.image_png("task_00000001").name == "task_00000001_0000.png"


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".hidden", "/etc", "a\n"])
def test_names_never_leave_the_project(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path, 1)
    for path in (workspace.version_dir, workspace.run_dir, workspace.image_png):
        with pytest.raises(ValueError, match="file name"):
            path(name)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.settings import data_folder, installation_id


def test_a_folder_keeps_its_name_and_another_has_another(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(installation_id, [tmp_path / "a"] * 16))
    assert len(names) == 1
    assert {installation_id(tmp_path / "a")} == names
    assert installation_id(tmp_path / "b") not in names
    (tmp_path / "a").rename(tmp_path / "moved")
    assert {installation_id(tmp_path / "moved")} == names


def test_a_name_whose_maker_died_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "_PATIENCE_S", 0.05)
    (tmp_path / "installation").touch()
    assert len(installation_id(tmp_path)) == 32
    assert installation_id(tmp_path) == installation_id(tmp_path)

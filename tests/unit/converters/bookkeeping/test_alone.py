from __future__ import annotations

from pathlib import Path

import pytest

from converters.bookkeeping.alone import alone_in
from domain.errors import SettingsError


def test_a_folder_that_can_not_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nnloop")):
        with pytest.raises(SettingsError, match="can't be written"), alone_in(folder, "training"):
            pass


def test_one_at_a_time_and_an_error_leaves_no_new_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        alone_in(out, "training"),
        pytest.raises(SettingsError, match="Another training"),
        alone_in(out, "training"),
    ):
        pass
    with pytest.raises(ValueError, match="x"), alone_in(tmp_path / "new", "training"):
        raise ValueError("x")
    assert not (tmp_path / "new").exists()

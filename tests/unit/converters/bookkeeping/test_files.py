from __future__ import annotations

from pathlib import Path

import pytest

from converters.bookkeeping.files import (
    link_or_copy,
    read_json,
    replace_with,
    update_json,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})

    def half(temporary: Path) -> None:
        temporary.write_text("{")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_with(path, half)
    assert read_json(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert update_json(path, {"a": [1, 2]})
    before = path.stat()
    assert not update_json(path, {"a": [1, 2]})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert update_json(path, {"a": [1]})
    assert read_json(path) == {"a": [1]}


def test_a_linked_file_keeps_its_content_when_the_source_is_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "deep" / "t"
    write_json(source, 1)
    link_or_copy(source, target)
    write_json(source, 2)
    assert (read_json(source), read_json(target)) == (2, 1)


def test_copies_where_links_are_not_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_json(tmp_path / "s", [3])
    link_or_copy(tmp_path / "s", tmp_path / "t")
    assert read_json(tmp_path / "t") == [3]

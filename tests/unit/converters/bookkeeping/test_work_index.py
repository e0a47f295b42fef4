from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.bookkeeping.work_index import WorkIndex, write_report
from domain.annotation import LeftOut
from domain.errors import FileFormatError


def _open(folder: Path, job: str = "export x") -> WorkIndex:
    return WorkIndex(folder / "index.sqlite", folder, job)


def test_an_unchanged_item_is_current_until_its_file_goes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with _open(tmp_path) as index:
        index.done("1", "stamp", ["a.png"], {"n": 1}, [])
    with _open(tmp_path) as index:
        assert not index.is_seen("1")
        assert not index.is_current("1", "other stamp")
        assert index.is_current("1", "stamp")
        assert index.is_seen("1")
        (tmp_path / "a.png").unlink()
        assert not index.is_current("1", "stamp")


def test_what_has_left_the_source_goes_with_its_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    with _open(tmp_path) as index:
        index.done("1", "s", ["a.png"], {"n": 1}, [])
        index.done("2", "s", ["b.png"], {"n": 2}, [])
        index.done("3", "s", ["c.png"], {"n": 3}, [])
    with _open(tmp_path) as index:
        assert index.is_current("3", "s")
        index.left_out("2", LeftOut(2, "skipped", "Task 2 was skipped."))
        assert index.forget_unseen() == 1
        assert [record["n"] for record in index.records()] == [3]
        assert index.counts() == (1, 1, {"skipped": 1})
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["c.png"]


def test_names_are_distinct_whatever_their_case_and_stay(tmp_path: Path) -> None:
    with _open(tmp_path) as index:
        assert index.name_for("1", "scan", "task_1") == "scan"
        assert index.name_for("2", "Scan", "task_2") == "task_2"
    with _open(tmp_path) as index:
        assert index.name_for("2", "Scan", "task_2") == "task_2"
        assert index.name_for("1", "scan", "task_1") == "scan"


def test_a_name_that_is_taken_twice_gets_a_number_and_keeps_it(tmp_path: Path) -> None:
    with _open(tmp_path) as index:
        assert index.name_for("1", "task_3", "task_1") == "task_3"
        assert index.name_for("2", "scan", "task_2") == "scan"
        for _ in range(2):
            assert index.name_for("3", "scan", "task_3") == "task_3_2"
        assert (index.holder_of("SCAN"), index.holder_of("none")) == ("2", None)
        # The image of the second is called otherwise now.
        assert index.name_for("2", "other", "task_2") == "other"
        assert index.name_for("4", "scan", "task_4") == "scan"


def test_a_folder_that_holds_nothing_any_more_goes(tmp_path: Path) -> None:
    for name in ("masks/old/a.png", "masks/new/a.png", "masks/old/a person's.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with _open(tmp_path) as index:
        index.done("1", "s", ["masks/old/a.png"], {}, [])
        index.done("1", "t", ["masks/new/a.png"], {}, [])
        assert sorted(p.name for p in (tmp_path / "masks" / "old").iterdir()) == ["a person's.txt"]
        assert list(index.strangers()) == ["masks/old/a person's.txt"]
        (tmp_path / "masks" / "old" / "a person's.txt").unlink()
        index.done("1", "u", ["masks/old/a.png"], {}, [])
        assert not (tmp_path / "masks" / "new").exists()
        assert list(index.strangers()) == []
        index.left_out("1", LeftOut(1, "skipped", "Task 1 was skipped."))
        assert (tmp_path / "index.sqlite").exists()
        assert not (tmp_path / "masks").exists()


def test_a_file_whose_name_changes_case_stays_where_both_are_one(tmp_path: Path) -> None:
    (tmp_path / "A.png").write_bytes(b"x")
    (tmp_path / "a.png").hardlink_to(tmp_path / "A.png")  # as if case did not count
    (tmp_path / "B.png").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"y")
    with _open(tmp_path) as index:
        index.done("1", "s", ["A.png", "B.png"], {}, [])
        index.done("1", "t", ["a.png", "b.png"], {}, [])
    assert (tmp_path / "a.png").exists()
    assert not (tmp_path / "B.png").exists()


@pytest.mark.slow
def test_a_folder_holds_one_job_and_one_process(tmp_path: Path) -> None:
    with _open(tmp_path), pytest.raises(FileFormatError, match="locked"):
        _open(tmp_path)
    with pytest.raises(FileFormatError, match="another command: export x"):
        _open(tmp_path, "export y")


def test_a_broken_index_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(FileFormatError, match="is broken") as caught:
        _open(tmp_path)
    assert "Delete it" in caught.value.remedy


def test_the_report_is_json(tmp_path: Path) -> None:
    with _open(tmp_path) as index:
        write_report(tmp_path / "r.json", {"done": 0}, index)
        assert json.loads((tmp_path / "r.json").read_text()) == {
            "done": 0,
            "left_out": [],
            "noted": [],
        }
        index.done("1", "s", [], {}, [LeftOut(1, "thin", 'Region "é" is thin.', "r")])
        index.left_out("2", LeftOut(2, "skipped", "Task 2 was skipped."))
        index.done("3", "s", [], {}, [LeftOut(3, "hole_bridged", "A hole was bridged.")])
        write_report(tmp_path / "r.json", {"done": 1}, index)
    said = json.loads((tmp_path / "r.json").read_text())
    assert [(row["task"], row["reason"]) for row in said["noted"]] == [(3, "hole_bridged")]
    rows = said["left_out"]
    assert [(row["task"], row["reason"], row["whole"]) for row in rows] == [
        (1, "thin", False),
        (2, "skipped", True),
    ]

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.folds.log import progress_in_words, read_progress, tail, write_progress
from training.folds.spec import EpochProgress

ROW: dict[str, Any] = {
    "fold": 0,
    "epoch": 1,
    "epochs": 2,
    "train_loss": 0.1,
    "val_loss": 0.2,
    "dice": None,
    "seconds": 1.0,
    "time": 5.0,
}


def test_nothing_written_yet(tmp_path: Path) -> None:
    assert tail(tmp_path, 5) == ()
    assert read_progress(tmp_path) == ()


@given(st.lists(st.text("abcä ", max_size=3000), max_size=40), st.integers(0, 50), st.booleans())
@settings(deadline=None)
def test_the_tail_is_the_end_of_all_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], n: int, ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("fold")
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    (folder / "train.log").write_text(text)
    expected = tuple(text.split("\n")[: -1 if text.endswith("\n") else None]) if text else ()
    assert tail(folder, n) == (expected[-n:] if n else ())


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    # A gigabyte of nothing, which costs neither disk nor, if it is not read, time or memory.
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(2**30)
        file.write(b"\nlast but one\nlast\n")
    assert tail(tmp_path, 2) == ("last but one", "last")


def test_an_epoch_reported_twice_counts_once(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "epoch": 2, "dice": 0.1}, {**ROW, "epoch": 2, "dice": 0.2}]
    lines = [json.dumps(rows[0]), '{"fold": 0, "ep', *map(json.dumps, rows[1:])]
    (tmp_path / "progress.jsonl").write_text("\n".join(lines) + "\n")
    assert [(row.epoch, row.dice) for row in read_progress(tmp_path)] == [(1, None), (2, 0.2)]


def test_what_is_written_is_read_and_told(tmp_path: Path) -> None:
    first, second = EpochProgress(**ROW), EpochProgress(**{**ROW, "epoch": 2, "eta_s": 0.0})
    write_progress(tmp_path, first)
    write_progress(tmp_path, second)
    assert read_progress(tmp_path) == (first, second)
    told = EpochProgress(**{**ROW, "case_dice": {"lumen": 0.81236, "wall": None}})
    assert progress_in_words(told) == (
        "1 of 2 epochs: train_loss 0.1000, val_loss 0.2000, full-image Dice "
        "{'lumen': 0.8124, 'wall': None}, 1.0 s, 0 s to go"
    )


def test_progress_of_an_earlier_nnloop_is_read() -> None:
    progress = EpochProgress(**ROW)
    assert progress.case_dice is None
    assert progress.mean_case_dice is None
    assert EpochProgress(**ROW, case_dice={"a": 0.5, "b": 1.0}).mean_case_dice == 0.75
    # A class that is absent from the sample says nothing.
    assert EpochProgress(**ROW, case_dice={"a": 0.5, "b": None}).mean_case_dice == 0.5
    assert EpochProgress(**ROW, case_dice={"a": None}).mean_case_dice is None

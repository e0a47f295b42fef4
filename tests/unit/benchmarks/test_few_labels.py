"""benchmarks.few_labels: what it counts, what it goes on from, and which images judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import few_labels
from benchmarks.few_labels import Cell, Results, cells, summarise, to_markdown


def row(data: str, labels: int, seed: int, preset: str, dice: float) -> dict[str, Any]:
    return {"data": data, "labels": labels, "seed": seed, "preset": preset, "dice": dice}


ROWS = [
    row("a", 8, 0, "tiny", 0.4),
    row("a", 8, 1, "tiny", 0.9),
    row("a", 8, 0, "pretrained", 0.5),
    row("b", 8, 0, "tiny", 0.2),
    row("b", 8, 0, "pretrained", 0.3),
    row("a", 64, 0, "tiny", 0.7),
    row("a", 64, 0, "pretrained", 0.6),
    row("b", 64, 0, "tiny", 0.9),
]


def test_presets_are_compared_on_equal_seeds() -> None:
    figures = summarise(ROWS)
    assert figures["datasets"]["a"][8] == {"tiny": 0.65, "pretrained": 0.5}
    assert figures["seeds"]["a"][8] == {"tiny": 2, "pretrained": 1}
    # Seed 1 has no other side, set b no other side at 64.
    assert figures["chosen"] == {8: "pretrained", 64: "tiny"}
    assert "| a | 8 | 0.650 | 0.500 | 1 |" in to_markdown(figures)
    assert summarise([]) == {"datasets": {}, "seeds": {}, "chosen": {}}


def test_one_seed_is_whole_before_the_next_begins() -> None:
    found = list(cells(("a", "b"), (8, 16), (0, 1), ("tiny", "pretrained")))
    assert [cell.seed for cell in found] == [0] * 8 + [1] * 8
    assert found[0] == Cell("a", 8, 0, "tiny")
    assert found[1] == Cell("a", 8, 0, "pretrained")


def test_results_are_kept_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    first = Results(path)
    first.add({"data": "a", "preset": "tiny", "patches": "4 x 9 x 9", "step_s": 0.5})
    first.add(ROWS[0])
    again = Results(path)
    assert again.has(Cell("a", 8, 0, "tiny"))
    assert not again.has(Cell("a", 8, 0, "pretrained"))
    assert again.step_s(Cell("a", 64, 2, "tiny"), "4 x 9 x 9") == 0.5
    assert again.step_s(Cell("a", 64, 2, "tiny"), "2 x 9 x 9") is None
    assert again.step_s(Cell("b", 8, 0, "tiny"), "4 x 9 x 9") is None
    assert again.rows("dice") == [ROWS[0]]


def test_what_is_measured_already_is_only_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(
        "".join(
            json.dumps(row("carotid", 8, 0, name, 0.5)) + "\n" for name in ("tiny", "pretrained")
        )
    )
    few_labels.main(
        ["--data", str(tmp_path), "--labels", "8", "--seeds", "0", "--results", str(path)]
    )
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["datasets"] == {"carotid": {"8": {"tiny": 0.5, "pretrained": 0.5}}}
    assert figures["missing"] == 0


@pytest.mark.slow
def test_the_images_to_test_on_are_the_same_for_all_and_none_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_labels, "N_TEST", 3)
    data = tmp_path / "data" / "glacier"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(10):
        mask = np.zeros((40, 48), np.uint8)
        mask[5 + i : 20 + i, 8:30] = 1
        cv2.imwrite(str(data / "images" / f"{i}.png"), rng.integers(0, 255, (40, 48), np.uint8))
        cv2.imwrite(str(data / "masks" / f"{i}.png"), mask)
    cells = [Cell("glacier", 2, 0, "tiny"), Cell("glacier", 4, 1, "tiny")]
    splits = [_split(cell, tmp_path) for cell in cells]
    # Another project's images, of those that the first one left over.
    splits.append(_split(Cell("glacier", 5, 0, "tiny"), tmp_path, without=cells[0]))
    held_out = splits[0]["val"]
    assert all(split["val"] == held_out for split in splits)
    assert [len(split["train"]) for split in splits] == [2, 4, 5]
    assert all(not set(split["train"]) & set(held_out) for split in splits)
    assert not set(splits[0]["train"]) & set(splits[2]["train"])
    with pytest.raises(ValueError, match="has 7 images to train on, not 64"):
        _split(Cell("glacier", 64, 0, "tiny"), tmp_path)


def _split(cell: Cell, folder: Path, without: Cell | None = None) -> dict[str, list[str]]:
    scratch = folder / f"{cell.labels}-{cell.seed}"
    spec = few_labels.prepared_fold(cell, folder / "data", scratch, without=without)
    path = spec.workspace.preprocessed_dataset / "splits_final.json"
    split: dict[str, list[str]] = json.loads(path.read_text())[spec.fold]
    return split


def test_what_a_start_gained_is_a_mean_over_seeds() -> None:
    rows = [
        {"data": "glacier", "labels": 8, "seed": seed, "preset": way, "dice": dice}
        for way, seed, dice in (("scratch", 0, 0.5), ("scratch", 1, 0.6), ("start_from", 0, 0.7))
    ]
    assert few_labels.tables(rows) == {
        "datasets": {"glacier": {8: {"scratch": 0.55, "start_from": 0.7}}},
        "seeds": {"glacier": {8: {"scratch": 2, "start_from": 1}}},
    }

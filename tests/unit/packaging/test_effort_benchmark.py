"""benchmarks.effort: what is summed up, and of how much the figures are."""

from __future__ import annotations

from pathlib import Path

import pytest

from active_learning.effort import Effort
from benchmarks import effort
from benchmarks.effort import Corrections, saved, summarise


def after(seconds: float, n_labelled: int = 8, n_unchanged: int = 1) -> Corrections:
    """After a training: 10 unseen images, which it takes 100 s to draw."""
    return Corrections(n_labelled, 0.8, seconds, 100.0, n_unchanged, 10, Effort(n_kept=1))


def test_saved_is_of_all_images_of_all_courses() -> None:
    assert saved([]) is None
    assert saved([after(20.0)]) == pytest.approx(0.8)
    large = Corrections(8, 0.8, 900.0, 900.0, 0, 30, Effort())
    # Large images count by what they cost; a mean of shares would give 0.4.
    assert saved([after(20.0), large]) == pytest.approx(0.08)
    assert saved([after(130.0)]) == pytest.approx(-0.3)


def test_the_last_training_tells_and_earlier_ones_stand_beside() -> None:
    found = summarise(
        {
            "carotid": {
                0: [after(60.0), after(10.0, 20, 5)],
                1: [after(40.0), after(20.0, 20, 7)],
            },
            "nuclei": {},
        }
    )["datasets"]
    assert list(found) == ["carotid"]  # of what was not played nothing is told
    carotid = found["carotid"]
    assert carotid["saved"] == 0.85
    assert carotid["per_seed"] == {"0": 0.9, "1": 0.8}
    assert carotid["by_training"] == [0.5, 0.85]
    assert carotid["labels"] == [8, 20]
    assert carotid["unchanged"] == 0.6
    assert (carotid["target"], carotid["images"], carotid["seeds_played"]) == (0.9, 10, 2)


def test_a_set_without_a_folder_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = effort._parse(["--data", str(tmp_path), "--sets", "carotid", "nuclei"])
    assert options.sets == ["carotid"]
    assert "Left out: nuclei" in capsys.readouterr().out

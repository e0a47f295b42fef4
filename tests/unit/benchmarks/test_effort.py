"""benchmarks.effort: what predictions of unseen images save, training by training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from active_learning.effort import Effort, TimePerAction
from backend.replay.annotator import Work
from backend.replay.images.library import LibraryCase
from backend.replay.options import ReplayOptions
from backend.replay.rounds import Table
from benchmarks import effort
from benchmarks.effort import Corrections, course_of, saved, summarise
from converters.bookkeeping.documents import read_document
from tests.unit.backend.replay.toy import ToyTeam, toy_cases

RULES = ReplayOptions(start=8, batch=12, rounds=4)
TABLE = Table(toy_cases(56), toy_cases(24, prefix="test"), RULES)


class Tutor(ToyTeam):
    """Of images it was trained on half as many, one more point is to be moved."""

    def label(
        self, labelled: Sequence[LibraryCase], batch: Sequence[LibraryCase], seed: int
    ) -> Sequence[Work]:
        ids = tuple(case.case_id for case in labelled)
        assert ids not in self.forgotten, "its networks are gone"
        works = super().label(labelled, batch, seed)
        if not labelled:
            return works
        n_moved = 160 // len(labelled)
        return [replace(work, corrected=Effort(n_edited=1, points_moved=n_moved)) for work in works]


def test_each_training_is_tried_on_the_unseen_images_then_its_networks_go(tmp_path: Path) -> None:
    team = Tutor()
    after = course_of(TABLE, tmp_path, 0, team)
    assert [one.n_labelled for one in after] == [8, 20, 32, 44]  # three retrainings
    assert [one.n for one in after] == [24] * 4
    assert [one.work.points_moved for one in after] == [24 * 20, 24 * 8, 24 * 5, 24 * 3]
    assert [len(ids) for ids in team.forgotten] == [8, 20, 32, 44]
    times = TimePerAction()
    spent = times.seconds(Effort(n_edited=1, points_moved=3))
    drawn = times.seconds(Effort(n_drawn=1, points_drawn=20))
    assert saved(after[-1:]) == pytest.approx(1 - spent / drawn)
    assert after[-1].n_unchanged == 0
    assert (after[-1].dice or 0.0) > (after[0].dice or 0.0) > 0.0


def test_cut_off_at_any_time_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = course_of(TABLE, tmp_path / "whole", 1, Tutor())
    for dies_at in range(1, 8):
        root = tmp_path / f"cut-{dies_at}"
        team = Tutor()
        team.dies_at = dies_at
        with pytest.raises(KeyboardInterrupt):
            course_of(TABLE, root, 1, team)
        assert not team.forgotten
        assert course_of(TABLE, root, 1, team) == whole
    file = effort._file(TABLE, root, 1)
    assert read_document(file, tuple[Corrections, ...]) == whole


def corrections(seconds: float, n_unchanged: int = 0, n_labelled: int = 44) -> Corrections:
    return Corrections(n_labelled, 0.8, seconds, 100.0, n_unchanged, 10, Effort())


def test_saved_is_a_share_of_all_drawing_and_may_be_below_nothing() -> None:
    assert saved([]) is None
    assert saved([corrections(10.0), corrections(30.0)]) == pytest.approx(0.8)
    assert saved([corrections(150.0)]) == pytest.approx(-0.5)
    # Large images count by what they cost; a mean of shares would give 0.4.
    large = replace(corrections(900.0), scratch_s=900.0)
    assert saved([corrections(20.0), large]) == pytest.approx(0.08)


def test_figures_are_of_the_last_training_and_say_of_how_many_seeds() -> None:
    course = (corrections(90.0, n_labelled=8), corrections(20.0, 5))
    other = (corrections(70.0, n_labelled=8), corrections(10.0, 8))
    found = summarise({"carotid": {0: course, 3: other}, "nuclei": {}, "ultrasound": {0: course}})
    assert set(found["datasets"]) == {"carotid", "ultrasound"}
    carotid = found["datasets"]["carotid"]
    assert carotid["saved"] == 0.85
    assert carotid["per_seed"] == {"0": 0.8, "3": 0.9}
    assert carotid["by_training"] == [0.2, 0.85]
    assert (carotid["labels"], carotid["seeds_played"]) == ([8, 44], 2)
    assert (carotid["unchanged"], carotid["target"]) == (0.65, 0.9)
    assert found["datasets"]["ultrasound"]["target"] is None
    assert summarise({}) == {"datasets": {}}


def test_a_set_that_is_missing_is_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = effort._parse(["--data", str(tmp_path), "--sets", "nuclei", "carotid"])
    assert options.sets == ["carotid"]
    assert "Left out: nuclei" in capsys.readouterr().out

"""What labelling cost, and what predictions saved."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from active_learning.effort import (
    LONGEST_S,
    LOOK_S,
    POINT_S,
    REGION_S,
    Corrected,
    Effort,
    TimePerAction,
    acceptance,
    by_class,
    saved,
)
from converters.label_studio.corrections import Change, RegionChange

CHANGES = [
    RegionChange(Change.KEPT, "wall"),
    RegionChange(Change.EDITED, "wall", n_moved=2, n_added=1, n_removed=3),
    RegionChange(Change.EDITED, "lumen", is_relabelled=True),
    RegionChange(Change.REMOVED, "wall"),
    RegionChange(Change.DRAWN, "lumen", n_added=10),
]


def test_sums() -> None:
    effort = Effort.of(CHANGES)
    assert effort == Effort(1, 2, 1, 1, 1, 2, 1, 3, 10)
    assert effort.actions == 2 + 1 + 3 + 10 + 1 + 1
    assert not effort.is_unchanged
    classes = by_class(CHANGES)
    assert classes["lumen"] == Effort(n_edited=1, n_relabelled=1, n_drawn=1, points_drawn=10)
    assert classes["wall"] + classes["lumen"] == effort


def test_an_empty_prediction_that_stays_empty_is_unchanged() -> None:
    assert Effort.of([]).is_unchanged
    assert Effort.of([RegionChange(Change.KEPT, "wall")]).is_unchanged


def test_assumed_times() -> None:
    times = TimePerAction()
    assert times.seconds(Effort()) == LOOK_S
    drawn = Effort(n_drawn=2, points_drawn=30)
    assert times.seconds(drawn) == pytest.approx(LOOK_S + 2 * REGION_S + 30 * POINT_S)


def test_times_of_the_project_are_measured_on_what_was_drawn_from_nothing() -> None:
    drawn = Effort(n_drawn=1, points_drawn=20)
    as_assumed = TimePerAction().seconds(drawn)
    rows = [(drawn, 2 * as_assumed)] * 5
    # Left open over night, not counted, or nothing drawn: none of them says anything.
    noise = [(drawn, LONGEST_S + 1), (drawn, 0.0), (Effort(), 50.0)]
    times = TimePerAction.measured([*rows, *noise])
    assert times.n == 5
    assert times.seconds(drawn) == pytest.approx(2 * as_assumed)
    assert TimePerAction.measured(rows[:4]) == TimePerAction()
    assert TimePerAction.measured([]) == TimePerAction()


def test_saved_by_the_clock_where_it_ran() -> None:
    times = TimePerAction()
    kept = Corrected(Effort(n_kept=1), n_points=20, n_regions=1, lead_time_s=6.0)
    untimed = Corrected(Effort(n_kept=1), n_points=20, n_regions=1)
    overnight = Corrected(Effort(n_kept=1), n_points=20, n_regions=1, lead_time_s=40_000.0)
    found = saved([kept, untimed, overnight], times)
    assert (found.n, found.n_timed) == (3, 1)
    assert found.spent_s == pytest.approx(6.0 + 2 * LOOK_S)
    assert found.from_scratch_s == pytest.approx(3 * (LOOK_S + REGION_S + 20 * POINT_S))
    assert found.share == pytest.approx(1 - found.spent_s / found.from_scratch_s)


def test_correcting_can_take_longer_than_drawing() -> None:
    worse = Corrected(Effort(n_removed=30, n_drawn=1, points_drawn=4), n_points=4, n_regions=1)
    share = saved([worse], TimePerAction()).share
    assert share is not None
    assert share < 0


def test_nothing_labelled_saves_nothing() -> None:
    assert saved([], TimePerAction()).share is None


def test_waved_through() -> None:
    found = acceptance([0.5] * 20, [True] * 20)
    assert found.p == pytest.approx(0.5**20)
    assert found.is_suspicious


def test_good_predictions_may_stay() -> None:
    assert not acceptance([0.95] * 20, [True] * 20).is_suspicious
    mixed = acceptance([0.2] * 10, [True] * 3 + [False] * 7)
    assert mixed.p == pytest.approx(binom.sf(2, 10, 0.2))
    assert not mixed.is_suspicious


def test_few_say_nothing() -> None:
    assert not acceptance([0.01] * 4, [True] * 4).is_suspicious
    assert acceptance([], []).p == 1.0
    with pytest.raises(ValueError, match="2 chances and 1 annotations"):
        acceptance([0.1, 0.2], [True])


def test_impossible_acceptance() -> None:
    assert acceptance([0.0] * 5, [True] * 5).is_suspicious
    assert not acceptance([1.0] * 5, [True] * 5).is_suspicious

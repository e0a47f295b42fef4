from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.replay.options import ReplayOptions
from backend.replay.pace import Pace, trainings_left
from backend.replay.results import Full, Results
from backend.replay.rounds import Table, play
from tests.unit.backend.replay.test_rounds import table
from tests.unit.backend.replay.toy import ToyTeam

OPTIONS = ReplayOptions(strategies=("lowest_score", "typical"), seeds=2, start=4, batch=3, rounds=4)
SEEDS = (0, 1)


def trained(on: Table, folder: Path) -> int:
    """How many sets a replay trains on if no two strategies choose the same but for the start."""
    n = 0
    for seed in range(on.options.seeds):
        n += 1
        starts = set()
        for strategy in on.options.strategies:
            file = on.course_file(folder, strategy, seed)
            course = play(on, strategy, seed, ToyTeam(), file)
            starts.add(course.rounds[0].batch)
            n += len(course.rounds) - 1
        n += len(starts)
    return n


@pytest.mark.parametrize("n", [30, 9, 4, 3])
@pytest.mark.parametrize("embedded", [False, True])
def test_as_many_trainings_are_ahead_as_there_will_be(
    n: int, embedded: bool, tmp_path: Path
) -> None:
    on = table(n, OPTIONS, embedded=embedded)
    assert trainings_left(Results(on, (), {}), SEEDS) == trained(on, tmp_path)


def test_what_is_played_is_not_ahead(tmp_path: Path) -> None:
    on = table(30, OPTIONS)
    whole = trainings_left(Results(on, (), {}), SEEDS)
    file = on.course_file(tmp_path, "random", 0)
    course = play(on, "random", 0, ToyTeam(), file)
    begun = replace(course, rounds=course.rounds[:2])
    # The start is still to be trained for the others.
    assert trainings_left(Results(on, (begun,), {}), SEEDS) == whole - 1
    assert trainings_left(Results(on, (course,), {0: Full(30, 0.8)}), SEEDS) == whole - 4
    courses = tuple(
        play(on, name, seed, ToyTeam(), on.course_file(tmp_path, name, seed))
        for name in OPTIONS.strategies
        for seed in SEEDS
    )
    full = {0: Full(30, 0.8), 1: Full(30, 0.8)}
    assert trainings_left(Results(on, courses, full), SEEDS) == 0


def test_after_the_first_training_it_is_said_how_long_all_take() -> None:
    times = iter((100.0, 160.0))
    pace = Pace(61, OPTIONS, 2, lambda: next(times))
    assert pace.plan == (
        "Up to 61 trainings of 3 networks each are ahead: 2 seeds, 5 strategies (3 of them to "
        "compare with), 4 rounds. Fewer: --seeds, --rounds."
    )
    assert pace.after_one() == (
        "The first training took 1m; the others will take about 30m in all. Interrupted, the same "
        "command goes on."
    )
    assert pace.after_one() == ""

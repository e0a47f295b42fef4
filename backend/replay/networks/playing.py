"""Plays a replay: every strategy from every seed, and what all labels together reach.

This is what loads networks; whoever must not reads ``replay.Replay`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from backend.replay.networks.committee import Committees
from backend.replay.networks.embed import embed
from backend.replay.networks.team import Committee
from backend.replay.pace import Pace, trainings_left
from backend.replay.replay import Replay
from backend.replay.results import Full
from backend.replay.rounds import Course, Round, Table, play, quality_of
from converters.bookkeeping.documents import read_document, write_document
from training.devices import list_devices
from training.evaluation import mean_over_cases
from training.folds.slots import Slots

Say = Callable[[str], None]


def play_replay(replay: Replay, say: Say = lambda _: None, *, only_seed: int | None = None) -> None:
    """Plays what is not on disk yet; seed by seed, so that what was cut off compares all.

    Args:
        replay: Its library is written, and nobody else works in its folder (``alone_in``).
        say: Told what is ahead, and one line for each round that was played.
        only_seed: None: all seeds.

    Raises:
        NotEnoughCasesError: There are too few images.
        TrainingError: A training failed.
    """
    with closing(Slots(list_devices())) as slots:
        files = replay.library.files(replay.root)
        embed(replay.library, replay.root)
        table = replay.table
        committees = Committees(replay.root / "committees", files, slots)
        preset = replay.options.training_preset
        team = Committee(replay.library, replay.root, preset, committees, slots.first.name)
        seeds = range(replay.options.seeds) if only_seed is None else (only_seed,)
        n_at_once = max(1, slots.n // replay.options.folds)
        pace = Pace(trainings_left(replay.results(), seeds), replay.options, n_at_once)
        if pace.n_left:
            say(pace.plan)
        tell = partial(_tell, say, pace)
        for seed in seeds:
            _measure_full(replay.root, table, seed, team, tell)
            _play_seed(replay.root, table, seed, (team, slots), tell)


def _tell(say: Say, pace: Pace, line: str) -> None:
    """Tells of a training, and after the first one how long all of them take."""
    say(line)
    if ahead := pace.after_one():
        say(ahead)


def _play_seed(
    root: Path, table: Table, seed: int, workers: tuple[Committee, Slots], say: Say
) -> None:
    team, slots = workers
    options = table.options
    files = {name: table.course_file(root, name, seed) for name in options.strategies}
    todo = [name for name, file in files.items() if not _is_whole(table, file)]

    def one(name: str) -> None:
        play(table, name, seed, team, files[name], partial(_told, say, name, seed))

    with ThreadPoolExecutor(max(1, slots.n // options.folds)) as pool:
        for _ in pool.map(one, todo):
            pass
    by_id = {case.case_id: case for case in table.pool}
    for file in files.values():
        start = read_document(file, Course).rounds[0].batch
        team.forget([by_id[case_id] for case_id in start], seed)


def _measure_full(root: Path, table: Table, seed: int, team: Committee, say: Say) -> None:
    """Trains on the whole pool, with the same steps."""
    file = table.full_file(root, seed)
    if file.exists():
        return
    looks = team.look(table.pool, table.test, seed)
    per_class = mean_over_cases({case_id: look.dice for case_id, look in looks.items()})
    full = Full(len(table.pool), quality_of(per_class, table.test), per_class)
    write_document(file, Full, full)
    team.forget(table.pool, seed)
    say(f"seed {seed}: all {full.n_labelled} labels, Dice {_number(full.dice)}")


def _is_whole(table: Table, file: Path) -> bool:
    return file.exists() and table.is_whole(read_document(file, Course))


def _told(say: Say, strategy: str, seed: int, one: Round) -> None:
    by = "" if one.acting == strategy or one.number == 1 else f" ({one.acting} chose)"
    say(
        f"seed {seed}, {strategy}, round {one.number}: {one.n_labelled} labels{by}, Dice "
        f"{_number(one.dice)}, {one.seconds:.0f} s of work, {one.scratch_s:.0f} s to draw"
    )


def _number(dice: float | None) -> str:
    return "-" if dice is None else f"{dice:.3f}"

"""Drawing effort that predictions save by the third retraining: ``python -m benchmarks.effort``.

The product's loop on labelled images: the first images are drawn, a committee is trained with the
product's own training, the images with the lowest scores are labelled next, and so on, until the
committee has been retrained three times. After each training a simulated annotator
(``backend.replay.annotator``) corrects its predictions of images that nobody else sees, and draws
them from nothing: ``saved`` is the share of the seconds of drawing that correcting does not take,
over all these images and seeds, after the last training. The annotator's constants are assumed, and
stand in one place; real people do worse.

Everything is kept in ``--results``, training by training, so that it can be cut off at any time and
called again; whole courses are kept in ``--measured`` too, which goes with the repository.
``--seconds N`` ends after the course that is under way by then. With what is not there yet,
``seeds_played`` says how much the figures are of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from active_learning.effort import Effort
from backend.pipeline.basis.query_strategy import WITH_MODEL
from backend.replay.annotator import Work
from backend.replay.images.library import LibraryCase
from backend.replay.look import Look
from backend.replay.networks.committee import Committees
from backend.replay.networks.team import Committee
from backend.replay.options import ReplayOptions
from backend.replay.replay import Replay
from backend.replay.rounds import Round, Table, Team, labelled_in, play
from benchmarks.material.loops import library_of, parsed, parser_of, rules_of
from benchmarks.material.measured import Measured
from benchmarks.material.sets import GENERATED, draw_carotid
from benchmarks.material.shared_data import one_thread
from converters.bookkeeping.alone import alone_in
from converters.bookkeeping.documents import from_json, read_document, to_json, write_document
from training.devices import list_devices
from training.folds.slots import Slots

LONG = True

SETS = (GENERATED, "nuclei", "ultrasound")
TARGETS = {GENERATED: 0.9, "nuclei": 0.6}
"""What is asked for; of ultrasound only the figure."""

N_CAROTID = 80
"""Generated images of the artery (``backend.demo``)."""

RULES = ReplayOptions(seeds=2, start=8, batch=12, rounds=4, steps=300, image_side=192)
"""Seeds; labels at first, labels that each retraining adds, and trainings, the first and three
more; of each its steps, and the longest side at which its networks see an image."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """What correcting the unseen images takes after one training: a document.

    Attributes:
        n_labelled: Labels it was trained on.
        dice: Mean Dice on these images, in [0, 1]; None where they show no class.
        seconds: Of correcting all of them.
        scratch_s: Of drawing all of them.
        n_unchanged: Of them, left as predicted.
        n: How many there are.
        work: All that is done.
    """

    n_labelled: int
    dice: float | None
    seconds: float
    scratch_s: float
    n_unchanged: int
    n: int
    work: Effort


def saved(after: Sequence[Corrections]) -> float | None:
    """Share of drawing that was saved, over all images of several courses; None without any."""
    scratch = sum(one.scratch_s for one in after)
    return 1.0 - sum(one.seconds for one in after) / scratch if scratch else None


def summarise(found: Mapping[str, Mapping[int, Sequence[Corrections]]]) -> dict[str, Any]:
    """The figures.

    Args:
        found: Set -> seed -> what correcting takes after each training, of whole courses.
    """
    datasets = {}
    for name, by_seed in found.items():
        if not by_seed:
            continue
        last = [courses[-1] for courses in by_seed.values()]
        dice = [one.dice for one in last if one.dice is not None]
        datasets[name] = {
            "saved": _short(saved(last)),
            "target": TARGETS.get(name),
            "per_seed": {str(seed): _short(saved([c[-1]])) for seed, c in by_seed.items()},
            "by_training": [
                _short(saved(column)) for column in zip(*by_seed.values(), strict=True)
            ],
            "labels": [one.n_labelled for one in next(iter(by_seed.values()))],
            "dice": _short(statistics.fmean(dice)) if dice else None,
            "unchanged": _short(sum(c.n_unchanged for c in last) / sum(c.n for c in last)),
            "images": last[0].n,
            "seeds_played": len(by_seed),
        }
    return {"datasets": datasets}


def main(arguments: Sequence[str] | None = None) -> None:
    """Plays what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {_rules(options)}; seeds {options.seeds}.",
        flush=True,
    )
    with alone_in(options.results, "replay"), closing(Slots(list_devices())) as slots:
        found = _play_all(options, slots)
    print(
        json.dumps(
            {
                **summarise(found),
                "seeds": options.seeds,
                "preset": options.preset,
                "steps": options.steps,
                "image_side": options.image_side,
                "machine": f"{os.cpu_count()} cores, {platform.machine()}",
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def _play_all(
    options: argparse.Namespace, slots: Slots
) -> dict[str, dict[int, tuple[Corrections, ...]]]:
    replays = {
        name: Replay(
            options.results / name,
            library_of(name, options, (_draw, ("lumen", "wall"))),
            _rules(options),
        )
        for name in options.sets
    }
    found: dict[str, dict[int, tuple[Corrections, ...]]] = {name: {} for name in options.sets}
    measured = Measured(options.measured)
    until = time.monotonic() + options.seconds
    for seed in options.seeds:
        for name, replay in replays.items():
            after = _known(replay, seed, measured)
            if after is None and time.monotonic() < until:
                started = time.monotonic()
                after = _play(replay, seed, slots)
                shares = ", ".join(f"{_short(saved([one]))}" for one in after)
                took = time.monotonic() - started
                print(f"{name}, seed {seed}: saved {shares} in {took:.0f} s", flush=True)
            if after is not None:
                found[name][seed] = after
                _keep(replay, seed, measured, after)
    return found


def _play(replay: Replay, seed: int, slots: Slots) -> tuple[Corrections, ...]:
    """One course with the product's training."""
    root, preset = replay.root, replay.options.training_preset
    committees = Committees(root / "committees", replay.library.files(root), slots)
    team = Committee(replay.library, root, preset, committees, slots.first.name)
    return course_of(replay.table, root, seed, team)


def course_of(table: Table, root: Path, seed: int, team: Team) -> tuple[Corrections, ...]:
    """One course, and what its predictions of unseen images save after each training.

    Goes on after the last round that is on disk. Networks are kept until they have corrected the
    unseen images.

    Args:
        table: What is played on; ``table.test`` are the unseen images.
        root: Of everything that is kept.
        seed: Of the course.
        team: Trains, predicts and corrects.
    """
    file = table.course_file(root, WITH_MODEL, seed)
    course = play(table, WITH_MODEL, seed, _Keeping(team), file, lambda one: print(
        f"{root.name}, seed {seed}: {one.n_labelled} labels, Dice {one.quality}", flush=True
    ))  # fmt: skip
    by_id = {case.case_id: case for case in table.pool}
    labelled = labelled_in(course, by_id)
    after = tuple(
        _corrections(one, team.label(labelled[: one.n_labelled], table.test, seed))
        for one in course.rounds
    )
    write_document(_file(table, root, seed), tuple[Corrections, ...], after)
    for one in course.rounds:
        team.forget(labelled[: one.n_labelled], seed)
    return after


def _corrections(played: Round, works: Sequence[Work]) -> Corrections:
    return Corrections(
        n_labelled=played.n_labelled,
        dice=played.quality,
        seconds=sum(work.seconds for work in works),
        scratch_s=sum(work.scratch_s for work in works),
        n_unchanged=sum(work.corrected.is_unchanged for work in works),
        n=len(works),
        work=Effort.sum_of(work.corrected for work in works),
    )


class _Keeping:
    """A team whose networks stay when a course has no need of them any more."""

    def __init__(self, team: Team) -> None:
        self._team = team

    def look(
        self, labelled: Sequence[LibraryCase], cases: Sequence[LibraryCase], seed: int
    ) -> Mapping[str, Look]:
        """As the team does."""
        return self._team.look(labelled, cases, seed)

    def label(
        self, labelled: Sequence[LibraryCase], batch: Sequence[LibraryCase], seed: int
    ) -> Sequence[Work]:
        """As the team does."""
        return self._team.label(labelled, batch, seed)

    def forget(self, labelled: Sequence[LibraryCase], seed: int) -> None:
        """Not yet."""


def _known(replay: Replay, seed: int, measured: Measured) -> tuple[Corrections, ...] | None:
    file = _file(replay.table, replay.root, seed)
    if file.exists():
        return read_document(file, tuple[Corrections, ...])
    for row in measured.rows(data=replay.root.name, key=replay.table.key, seed=seed):
        return from_json(tuple[Corrections, ...], row["after"])
    return None


def _keep(replay: Replay, seed: int, measured: Measured, after: tuple[Corrections, ...]) -> None:
    row = {"data": replay.root.name, "key": replay.table.key, "seed": seed}
    if not any(measured.rows(**row)):
        measured.add({**row, "after": to_json(tuple[Corrections, ...], after)})


def _file(table: Table, root: Path, seed: int) -> Path:
    course = table.course_file(root, WITH_MODEL, seed)
    return course.with_name(f"corrections-{seed}.json")


def _rules(options: argparse.Namespace) -> ReplayOptions:
    return rules_of(options, start=options.start, batch=options.batch, rounds=options.trainings)


def _draw(folder: Path) -> None:
    if not folder.is_dir():
        made = folder.with_name(f"{folder.name}.part")
        draw_carotid(made, N_CAROTID)
        made.rename(folder)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("effort", __doc__, SETS, RULES)
    parser.add_argument("--start", type=int, default=RULES.start)
    parser.add_argument("--batch", type=int, default=RULES.batch)
    parser.add_argument("--trainings", type=int, default=RULES.rounds)
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()

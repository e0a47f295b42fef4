"""What benchmarks that play whole loops share: their options, and images as a library."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.replay.images.library import Library
from backend.replay.images.source import library_of_folder
from backend.replay.options import BASELINES, ReplayOptions
from benchmarks.material.measured import FOLDER
from benchmarks.material.sets import GENERATED, SHARED, leave_out_missing
from benchmarks.material.shared_data import CLASS_NAMES


def parser_of(
    benchmark: str, about: str | None, sets: Sequence[str], rules: ReplayOptions
) -> argparse.ArgumentParser:
    """The options of a benchmark that plays loops, seed by seed.

    Args:
        benchmark: Its name.
        about: What ``--help`` says.
        sets: Those that are played unless told, in this order.
        rules: What is played unless told: seeds, preset, steps, image side, networks.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark}", description=about)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=list(sets), choices=sets)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(rules.seeds)))
    parser.add_argument("--preset", default=rules.preset)
    parser.add_argument("--steps", type=int, default=rules.steps)
    parser.add_argument("--image-side", type=int, default=rules.image_side)
    parser.add_argument("--folds", type=int, default=rules.folds, help="networks of a committee")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="about how long")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("bench-results") / benchmark,
        help="folder of everything that is played; goes on from there",
    )
    parser.add_argument(
        "--measured",
        type=Path,
        default=FOLDER / f"{benchmark}.jsonl",
        help="what was played to its end, here or elsewhere; goes on from there too",
    )
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, less the sets whose folder is not there, which are named."""
    options = parser.parse_args(arguments)
    for name in leave_out_missing(options):
        print(f"Left out: {name}, there is no folder {options.data / name}.")
    return options


def rules_of(
    options: argparse.Namespace,
    *,
    start: int,
    batch: int,
    rounds: int,
    strategies: Sequence[str] = BASELINES,
) -> ReplayOptions:
    """What is played by the options of ``parser_of``, with so many labels and trainings."""
    return ReplayOptions(
        strategies=tuple(strategies),
        seeds=max(options.seeds) + 1,
        start=start,
        batch=batch,
        rounds=rounds,
        preset=options.preset,
        steps=options.steps,
        image_side=options.image_side,
        folds=options.folds,
    )


def library_of(
    name: str,
    options: argparse.Namespace,
    generated: tuple[Callable[[Path], object], Sequence[str]],
) -> Library:
    """The images of a set as a library in ``options.results``.

    Args:
        name: Of the set.
        options: As parsed.
        generated: Writes the images of the generated set into a folder; its classes.
    """
    folder, classes = options.data / name, tuple(CLASS_NAMES.get(name, ()))
    if name == GENERATED:
        folder, (write, drawn) = options.results / f"{name}-images", generated
        classes = tuple(drawn)
        write(folder)
    return library_of_folder(folder, options.results / name, classes=classes)

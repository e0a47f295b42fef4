"""The sets that benchmarks train on: folders of shared data, and generated carotid arteries."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2

from backend.demo.ultrasound import generate

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

GENERATED = "carotid"
SETS = ("ultrasound", "nuclei", "glacier", GENERATED)


def draw_carotid(folder: Path, n: int) -> None:
    """Writes n generated images and their masks, as the folders of sets are."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(n):
        sample = generate(index)
        cv2.imwrite(str(folder / "images" / f"{sample.name}.png"), sample.image)
        cv2.imwrite(str(folder / "masks" / f"{sample.name}.png"), sample.truth)


def parser_of(
    benchmark: str, about: str | None, sets: Sequence[str] = SETS
) -> argparse.ArgumentParser:
    """The options of benchmarks that train on several sets, cell by cell.

    Args:
        benchmark: Its name.
        about: What ``--help`` says.
        sets: Those that are measured unless told, in this order.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark}", description=about)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=list(sets), choices=sets)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("bench-results") / f"{benchmark}.jsonl",
        help="what was measured; goes on from there",
    )
    parser.add_argument("--cells", type=int, default=10**6, help="at most so many in this call")
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, less the sets whose folder is not there."""
    options = parser.parse_args(arguments)
    leave_out_missing(options)
    return options


def leave_out_missing(options: argparse.Namespace) -> list[str]:
    """Takes the sets out of ``options.sets`` whose folder is not there; which those were."""
    missing = [n for n in options.sets if n != GENERATED and not (options.data / n).is_dir()]
    options.sets = [name for name in options.sets if name not in missing]
    return missing

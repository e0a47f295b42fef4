"""Warm start against scratch, in equal steps: ``python -m benchmarks.warmstart [--data DIR ...]``.

The loop's situation: a version was trained on the labels there were; some more have come. A fold
of the next version starts from fresh weights, or from the same fold of the earlier version, then
trains on all labels for the same number of steps (the same time, then, whatever else the machine
does). Measured on the fold's held-out cases, at full size; over several seeds, each with another
fold and other weights.

The variants of a warm start: ``warm`` (all of the old weights), ``warm_low_lr`` (a quarter of the
learning rate), ``shrink`` (shrink and perturb: half old, half fresh weights; Ash & Adams 2020) and
``shrink_low_lr``. The default of the project setting ``warm_start``, and the ``warm_shrink`` and
``warm_lr`` of the presets, are what wins here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.shared_data import Project, one_thread, write_project
from training.evaluation import mean_over_classes
from training.folds.runner import run_fold
from training.folds.spec import FINAL, FoldResult, FoldSpec
from training.presets import TINY, Preset

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

N_FOLDS = 3

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to start warm: fields of ``Preset``."""

    warm_shrink: float
    warm_lr: float

    def of(self, preset: Preset) -> Preset:
        """The preset, started so."""
        return replace(preset, warm_shrink=self.warm_shrink, warm_lr=self.warm_lr)


VARIANTS = MappingProxyType(
    {
        "warm": Variant(1.0, 1.0),
        "warm_low_lr": Variant(1.0, 0.25),
        "shrink": Variant(0.5, 1.0),
        "shrink_low_lr": Variant(0.5, 0.5),
    }
)


def measure(options: argparse.Namespace, data: Path, scratch: Path) -> dict[str, list[float]]:
    """Mean Dice of each variant on a data set, one figure per seed."""
    preset = replace(TINY, epochs=options.epochs, patience=None)
    project = write_project(data, scratch, n_folds=N_FOLDS, n_cases=options.cases)
    earlier = replace(project, cases=project.cases[: options.earlier])
    dice: dict[str, list[float]] = {name: [] for name in (SCRATCH, *options.variants)}
    for seed in options.seeds:
        # Plans stay frozen while cases are added, as in the loop.
        earlier.prepare(preset)
        first = _train(project, preset, f"earlier-{seed}", seed)
        checkpoint = project.workspace.fold_dir(f"earlier-{seed}", first.fold) / FINAL
        _write_again(data, scratch, options)
        project.prepare(preset)
        for name in dice:
            variant = VARIANTS.get(name)
            outcome = _train(
                project,
                preset if variant is None else variant.of(preset),
                f"{name}-{seed}",
                # Another draw than the earlier version's: fresh weights must be fresh.
                seed + 1000,
                fold=first.fold,
                warm_start=None if variant is None else checkpoint,
            )
            mean = mean_over_classes(outcome.dice_per_class) or 0.0
            dice[name].append(round(mean, 4))
            print(f"{data.name} seed {seed} fold {first.fold} {name}: {mean:.4f}", flush=True)
    return dice


def summarise(dice: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """The table and what wins.

    Args:
        dice: Data set -> variant -> Dice per seed, every variant with the same seeds.

    Returns:
        ``mean`` (data set -> variant -> mean Dice), ``gain`` (variant -> mean difference from
        scratch over sets and seeds), ``wins`` (variant -> share of sets and seeds in which it beat
        scratch) and ``best`` (the variant with the greatest gain, ``scratch`` if none is above 0).
    """
    names = [name for name in next(iter(dice.values())) if name != SCRATCH]
    differences = {
        name: [
            ours - scratch
            for rows in dice.values()
            for ours, scratch in zip(rows[name], rows[SCRATCH], strict=True)
        ]
        for name in names
    }
    gain = {name: statistics.fmean(values) for name, values in differences.items()}
    best = max(gain, key=lambda name: gain[name])
    return {
        "mean": {
            data: {name: round(statistics.fmean(values), 4) for name, values in rows.items()}
            for data, rows in dice.items()
        },
        "gain": {name: round(value, 4) for name, value in gain.items()},
        "wins": {
            name: round(sum(value > 0 for value in values) / len(values), 2)
            for name, values in differences.items()
        },
        "best": best if gain[best] > 0 else SCRATCH,
    }


def to_markdown(dice: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """One row per data set and variant, one column per seed."""
    lines = []
    for data, rows in dice.items():
        for name, values in rows.items():
            cells = " | ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {data} | {name} | {cells} | {statistics.fmean(values):.3f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    print(
        f"Preset tiny, {options.epochs} epochs of {TINY.iterations_per_epoch} steps each time, "
        f"{options.earlier} cases, then {options.cases}; 1 thread.",
        flush=True,
    )
    dice = {}
    for data in options.data:
        with tempfile.TemporaryDirectory() as scratch:
            dice[data.name] = measure(options, data, Path(scratch))
    print(to_markdown(dice))
    figures = {"dice": dice, **summarise(dice), "epochs": options.epochs, "seeds": options.seeds}
    print(json.dumps(figures))


def _train(
    project: Project,
    preset: Preset,
    run: str,
    seed: int,
    *,
    fold: int | None = None,
    warm_start: Path | None = None,
) -> FoldResult:
    spec = FoldSpec(
        workspace_root=str(project.workspace.root),
        project_id=project.workspace.project_id,
        run=run,
        fold=seed % N_FOLDS if fold is None else fold,
        class_values=project.class_values,
        preset=preset,
        warm_start=None if warm_start is None else str(warm_start),
        seed=seed,
    )
    result = run_fold(spec, lambda _: None, lambda: False)
    assert result is not None
    return result


def _write_again(data: Path, scratch: Path, options: argparse.Namespace) -> None:
    # Preparing fewer cases removed the files of the others.
    write_project(data, scratch, n_folds=N_FOLDS, n_cases=options.cases)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warmstart", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", help="may be repeated")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10, help="of every training")
    parser.add_argument("--cases", type=int, default=45, help="labels there are now")
    parser.add_argument("--earlier", type=int, default=36, help="labels the version was trained on")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args(arguments)
    options.data = options.data or [SHARED / "ultrasound", SHARED / "nuclei"]
    if not N_FOLDS <= options.earlier <= options.cases:
        parser.error(f"--earlier {options.earlier} must be in [{N_FOLDS}, --cases {options.cases}]")
    return options


if __name__ == "__main__":
    main()

"""Warm start against scratch, in equal steps: ``python -m benchmarks.warmstart [--data DIR ...]``.

The loop's situation: a version was trained on the labels there were; some more have come. A fold
of the next version starts from fresh weights, or from the same fold of the earlier version, then
trains on all labels for the same number of steps (the same time, then, whatever else the machine
does). Measured on the fold's held-out cases, at full size; over several seeds, each with another
fold and other weights. Seeds of folds are derived as in the product.

The variants of a warm start: ``warm`` (all of the old weights), ``warm_low_lr`` (a quarter of the
learning rate), ``shrink`` (shrink and perturb: half old, half fresh weights; Ash & Adams 2020),
``shrink_low_lr``, and ``shrink_same_seed``, whose fresh half is what the old weights began from.
The default of the project setting ``warm_start``, and the ``warm_shrink`` and ``warm_lr`` of the
presets, are what wins here.

With ``--work DIR`` every training is kept there and none is repeated, so that it can be cut off at
any time and called again; ``--cells N`` ends after N trainings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.material.sets import SHARED
from benchmarks.material.shared_data import Project, one_thread, write_project
from training.evaluation import mean_over_classes
from training.folds.runner import run_fold
from training.folds.seeds import fold_seed
from training.folds.spec import FINAL, RESULT, FoldResult, FoldSpec
from training.presets import PRETRAINED, TINY, Preset, preset_by_name

LONG = True


N_FOLDS = 3

EPOCHS = {TINY.name: 10, PRETRAINED.name: 4}
"""Of every training: about as long with either preset."""

SCRATCH = "scratch"


EARLIER = "earlier"
"""Of the trainings: the version that the others may start from."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to start warm: fields of ``Preset``, and whose fresh weights are mixed in."""

    warm_shrink: float
    warm_lr: float
    same_seed: bool = False

    def of(self, preset: Preset) -> Preset:
        """The preset, started so."""
        return replace(preset, warm_shrink=self.warm_shrink, warm_lr=self.warm_lr)


VARIANTS = MappingProxyType(
    {
        "warm": Variant(1.0, 1.0),
        "warm_low_lr": Variant(1.0, 0.25),
        "shrink": Variant(0.5, 1.0),
        "shrink_low_lr": Variant(0.5, 0.5),
        "shrink_same_seed": Variant(0.5, 1.0, same_seed=True),
    }
)


class OutOfCellsError(Exception):
    """As many trainings as asked for are done, and there are more."""


@dataclass
class Cells:
    """How many trainings may still be run; None: any number."""

    left: int | None

    def take(self) -> None:
        """Counts one; raises OutOfCellsError when none is left."""
        if self.left == 0:
            raise OutOfCellsError
        if self.left is not None:
            self.left -= 1


@dataclass(frozen=True, slots=True)
class Side:
    """A data set and a seed: its trainings are the pairs that are compared."""

    data: Path
    seed: int
    root: Path
    options: argparse.Namespace

    @property
    def fold(self) -> int:
        """The fold that is trained."""
        return self.seed % N_FOLDS

    @property
    def preset(self) -> Preset:
        """The preset, its epochs fixed."""
        preset = preset_by_name(self.options.preset)
        return replace(preset, epochs=self.options.epochs, patience=None)

    def measure(self, cells: Cells) -> dict[str, float]:
        """Mean Dice of every variant; raises OutOfCellsError before the last one."""
        names = (EARLIER, SCRATCH, *self.options.variants)
        dice = {}
        for name in names:
            done = self.root / "projects" / "1" / "runs" / name / f"fold_{self.fold}" / RESULT
            if not done.exists():
                cells.take()
            result = self._train(name)
            dice[name] = round(mean_over_classes(result.dice_per_class) or 0.0, 4)
            print(f"{self.data.name} seed {self.seed} fold {self.fold} {name}: {dice[name]:.4f}")
        return {name: value for name, value in dice.items() if name != EARLIER}

    def _train(self, name: str) -> FoldResult:
        # Preparing fewer cases removes the files of the others.
        project = write_project(self.data, self.root, n_folds=N_FOLDS, n_cases=self.options.cases)
        variant = VARIANTS.get(name)
        preset = self.preset if variant is None else variant.of(self.preset)
        run = 1 if name == EARLIER or (variant and variant.same_seed) else 2
        spec = FoldSpec(
            workspace_root=str(project.workspace.root),
            project_id=project.workspace.project_id,
            run=name,
            fold=self.fold,
            class_values=project.class_values,
            preset=preset,
            warm_start=None
            if variant is None
            else str(project.workspace.fold_dir(EARLIER, self.fold) / FINAL),
            seed=fold_seed(self.seed, run, self.fold),
        )
        if not (spec.fold_dir / RESULT).exists():
            # Plans are made of the earlier cases and stay, as in the loop.
            _first(project, self.options.earlier if name == EARLIER else None).prepare(preset)
        result = run_fold(spec, lambda _: None, lambda: False)
        assert result is not None
        if variant is not None and not result.warm_started:
            raise RuntimeError(f"{spec.fold_dir} did not start from the earlier weights")
        return result


def _first(project: Project, n: int | None) -> Project:
    return replace(project, cases=project.cases[:n])


def summarise(dice: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """The table and what wins.

    Args:
        dice: Data set -> variant -> Dice per seed, every variant with the same seeds.

    Returns:
        ``mean`` (data set -> variant -> mean Dice), ``gain`` (variant -> mean difference from
        scratch over sets and seeds), ``wins`` (variant -> share of sets and seeds in which it beat
        scratch), ``p`` (variant -> ``sign_flip``) and ``best`` (the variant with the greatest gain,
        ``scratch`` if none is above 0).
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
        "p": {name: round(sign_flip(values), 4) for name, values in differences.items()},
        "best": best if gain[best] > 0 else SCRATCH,
    }


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of Fisher's exact paired test: how often random signs give as large a mean.

    Args:
        differences: Of the pairs, at least 1 and at most about 20 (every choice of signs is taken).

    >>> sign_flip([0.1, 0.2, 0.3])
    0.25
    """
    found = abs(sum(differences)) - 1e-12
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(value >= found for value in sums) / len(sums)


def to_markdown(dice: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """One row per data set and variant, one column per seed."""
    lines = []
    for data, rows in dice.items():
        for name, values in rows.items():
            cells = " | ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {data} | {name} | {cells} | {statistics.fmean(values):.3f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line; without it where cells ran out."""
    options = _parse(arguments)
    one_thread()
    print(
        f"Preset {options.preset}, {options.epochs} epochs of {TINY.iterations_per_epoch} steps "
        f"each time, {options.earlier} cases, then {options.cases}; 1 thread.",
        flush=True,
    )
    cells = Cells(options.cells)
    dice: dict[str, dict[str, list[float]]] = {}
    kept = nullcontext(options.work) if options.work else tempfile.TemporaryDirectory()
    try:
        with kept as folder:
            # Seed by seed, so that what was cut off has measured every set alike.
            for seed, data in itertools.product(options.seeds, options.data):
                root = Path(folder) / f"{data.name}-{seed}"
                root.mkdir(parents=True, exist_ok=True)
                for name, value in Side(data, seed, root, options).measure(cells).items():
                    dice.setdefault(data.name, {}).setdefault(name, []).append(value)
    except OutOfCellsError:
        print("There are trainings left: call it again.", flush=True)
        return
    print(to_markdown(dice))
    figures = {
        "dice": dice,
        **summarise(dice),
        "preset": options.preset,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warmstart", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", help="may be repeated")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--preset", default=TINY.name, choices=list(EPOCHS))
    parser.add_argument("--epochs", type=int, help=f"of every training; default: {EPOCHS}")
    parser.add_argument("--cases", type=int, default=45, help="labels there are now")
    parser.add_argument("--earlier", type=int, default=36, help="labels the version was trained on")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--work", type=Path, help="folder in which trainings are kept")
    parser.add_argument("--cells", type=int, help="end after this many trainings")
    options = parser.parse_args(arguments)
    options.epochs = options.epochs or EPOCHS[options.preset]
    options.data = options.data or [SHARED / name for name in ("ultrasound", "nuclei", "glacier")]
    if not N_FOLDS <= options.earlier <= options.cases:
        parser.error(f"--earlier {options.earlier} must be in [{N_FOLDS}, --cases {options.cases}]")
    return options


if __name__ == "__main__":
    main()

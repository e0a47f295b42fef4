"""Classes that only their side tells apart: ``python -m benchmarks.sides [--data DIR --pair 1,2]``.

The same labels are trained on for the same number of steps with the flips that the product decides
on (``auto``), with all of nnU-Net's flips and turns (``mirrored``) and with none (``unmirrored``),
and the fold's held-out cases are predicted as a version would. ``wrong_side`` is the share of the
pair's pixels that were given to the other class of the pair; ``dice`` is the mean over all classes.

Without ``--data``: generated trunks with a right and a left lung, once under names that say so
(``named``: the flip is used with the names exchanged) and once under names that say nothing
(``unnamed``: it is left out). ``decided`` says what was decided and why.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material.shared_data import Project, one_thread, write_project
from benchmarks.material.side_images import CLASS_NAMES, write_folder
from training.case_files import read_case_image, read_image
from training.evaluation import mean_over_classes
from training.folds.runner import run_fold
from training.folds.spec import VALIDATION, FoldResult, FoldSpec
from training.presets import TINY, Preset
from training.symmetries.decide import LabelledCase, decide
from training.symmetries.symmetries import MirrorTraining, Symmetries

N_FOLDS = 3

WAYS: dict[str, MirrorTraining] = {"auto": "auto", "mirrored": "both", "unmirrored": "off"}

UNNAMED = ("one", "two", "three")


def decided(project: Project, word: MirrorTraining) -> Symmetries:
    """What a run on the fold's training cases would decide."""
    cases = [
        LabelledCase(
            case.case_id,
            case.case_id,
            label_map=partial(project.truth, case.case_id),
            image=partial(read_case_image, project.workspace, case.case_id),
        )
        for case in project.cases
    ]
    return decide(cases, project.class_values, word)


def wrong_side(project: Project, run: str, result: FoldResult, pair: tuple[int, int]) -> float:
    """Share of the pair's pixels on held-out cases that were given to the other of the pair."""
    folder = project.workspace.fold_dir(run, result.fold) / VALIDATION
    wrong = total = 0
    for path in sorted(folder.glob("*.png")):
        predicted, truth = read_image(path), project.truth(path.stem)
        for one, other in (pair, pair[::-1]):
            wrong += int(np.count_nonzero((truth == one) & (predicted == other)))
            total += int(np.count_nonzero(truth == one))
    return wrong / total


def measure(project: Project, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one set of labels."""
    # Label maps of held-out cases are kept where postprocessing is looked for.
    preset: Preset = replace(TINY, epochs=options.epochs, patience=None, postprocess=True)
    project.prepare(preset)
    figures: dict[str, Any] = {"wrong_side": {}, "dice": {}}
    for way, word in WAYS.items():
        symmetries = decided(project, word)
        if way == "auto":
            figures["decided"] = list(symmetries.reasons)
        shares, dice = [], []
        for seed in options.seeds:
            run = f"{way}-{seed}"
            spec = FoldSpec(
                workspace_root=str(project.workspace.root),
                project_id=project.workspace.project_id,
                run=run,
                fold=seed % N_FOLDS,
                class_values=project.class_values,
                preset=preset,
                seed=seed,
                symmetries=symmetries,
            )
            result = run_fold(spec, lambda _: None, lambda: False)
            assert result is not None
            shares.append(wrong_side(project, run, result, options.pair))
            dice.append(mean_over_classes(result.dice_per_class) or 0.0)
            print(
                f"{way} seed {seed}: wrong side {shares[-1]:.4f}, Dice {dice[-1]:.4f}", flush=True
            )
        figures["wrong_side"][way] = round(statistics.fmean(shares), 4)
        figures["dice"][way] = round(statistics.fmean(dice), 4)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    sets: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folders: dict[str, tuple[Path, tuple[str, ...] | None]] = {
            path.name: (path, None) for path in options.data
        }
        if not folders:
            write_folder(Path(scratch) / "trunks", options.cases, seed=11)
            trunks = Path(scratch) / "trunks"
            folders = {"unnamed": (trunks, UNNAMED), "named": (trunks, CLASS_NAMES)}
        for name, (folder, names) in folders.items():
            print(f"{name}: {options.cases} cases, {options.epochs} epochs ...", flush=True)
            project = write_project(
                folder, Path(scratch) / name, n_folds=N_FOLDS, n_cases=options.cases
            )
            if names is not None:
                project = replace(project, class_values=names)
            sets[name] = measure(project, options)
    first = next(iter(sets.values()))
    figures = {
        "wrong_side": first["wrong_side"],
        "dice": first["dice"],
        "sets": sets,
        "epochs": options.epochs,
        "cases": options.cases,
        "seeds": options.seeds,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread",
        "load": os.getloadavg()[0],
    }
    print(json.dumps(figures))


def _pair(text: str) -> tuple[int, int]:
    one, other = (int(part) for part in text.split(","))
    return one, other


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sides", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--pair", type=_pair, default=(1, 2), help="integers of the two sides")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=10, help="of 50 steps each")
    parser.add_argument("--cases", type=int, default=60, help="of which a third is held out")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

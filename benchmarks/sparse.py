"""Scribbles in place of whole label maps: ``python -m benchmarks.sparse [--sets NAME ...]``.

The same images are trained on three times, as long each: with whole label maps (``full``), with
lines over 5 to 10 % of the pixels, the rest ignored (``scribbles``), and with the same lines, the
rest taken for background (``naive``, what a project without an ignore label makes of them). The
fold's held-out cases are predicted as a version would and compared with their whole label maps.
``dice`` is the mean over the classes, ``labelled`` the share of pixels that the lines cover.
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
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material.measured import FOLDER, Measured
from benchmarks.material.scribbles import scribbled
from benchmarks.material.sets import SETS, SHARED, draw_carotid, leave_out_missing
from benchmarks.material.shared_data import Project, one_thread, write_project
from training.case_files import read_case_image, read_image, write_case
from training.evaluation import mean_over_cases, mean_over_classes, named_dice
from training.folds.runner import run_fold
from training.folds.spec import VALIDATION, FoldSpec
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.presets import PRETRAINED, Preset

N_FOLDS = 3
WAYS = ("full", "scribbles", "naive")


def lines_of(project: Project, seed: int, *, is_naive: bool) -> tuple[Project, float]:
    """The same project with lines in place of label maps, and the share of pixels they cover."""
    rng = np.random.default_rng(seed)
    n_classes = len(project.class_values)
    cases, shares = [], []
    for case in project.cases:
        lines = scribbled(project.truth(case.case_id), n_classes, rng)
        shares.append(float((lines <= n_classes).mean()))
        if is_naive:
            lines[lines > n_classes] = 0
        image = read_case_image(project.workspace, case.case_id)
        cases.append(
            write_case(project.workspace, case.case_id, image, lines, n_channels=project.n_channels)
        )
    return replace(project, cases=tuple(cases)), statistics.fmean(shares)


def measured(folder: Path, way: str, seed: int, preset: Preset, n_cases: int) -> dict[str, Any]:
    """Dice of the held-out cases of one training."""
    with tempfile.TemporaryDirectory() as scratch:
        project = write_project(folder, Path(scratch), n_folds=N_FOLDS, n_cases=n_cases)
        truths = {case.case_id: project.truth(case.case_id) for case in project.cases}
        share = 1.0
        if way != "full":
            project, share = lines_of(project, seed, is_naive=way == "naive")
        spec = DatasetSpec(
            project.class_values, project.n_channels, preset, has_ignore=way == "scribbles"
        )
        prepare(project.workspace, project.cases, project.folds, spec)
        fold = FoldSpec(
            workspace_root=scratch,
            project_id=project.workspace.project_id,
            run="1",
            fold=seed % N_FOLDS,
            class_values=project.class_values,
            preset=preset,
            seed=seed,
        )
        result = run_fold(fold, lambda _: None, lambda: False)
        assert result is not None
        predicted = sorted((fold.fold_dir / VALIDATION).glob("*.png"))
        dice = {
            path.stem: named_dice(read_image(path), truths[path.stem], project.class_values)
            for path in predicted
        }
    return {
        "dice": round(mean_over_classes(mean_over_cases(dice)) or 0.0, 4),
        "labelled": round(share, 4),
        "n_held_out": len(dice),
        "seconds": round(result.seconds, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is not measured yet, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    preset = replace(PRETRAINED, epochs=options.epochs, patience=None, postprocess=True)
    rows = Measured(options.results)
    datasets: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets:
            folder = options.data / name
            if name == "carotid":
                folder = Path(scratch) / name
                draw_carotid(folder, options.cases)
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for seed in options.seeds:
                for way in WAYS:
                    key = {
                        "data": name,
                        "way": way,
                        "seed": seed,
                        "epochs": options.epochs,
                        "cases": options.cases,
                    }
                    row = next(rows.rows(**key), None)
                    if row is None:
                        row = key | measured(folder, way, seed, preset, options.cases)
                        rows.add(row)
                        print(f"{name} seed {seed} {way}: {row}", flush=True)
                    found[way].append(row["dice"])
            datasets[name] = {way: round(statistics.fmean(found[way]), 4) for way in WAYS}
    print(
        json.dumps(
            {
                "datasets": datasets,
                "epochs": options.epochs,
                "steps": options.epochs * preset.iterations_per_epoch,
                "cases": options.cases,
                "seeds": options.seeds,
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread",
                "load": os.getloadavg()[0],
            }
        )
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=["ultrasound", "nuclei"], choices=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=8, help="of 50 steps each")
    parser.add_argument("--cases", type=int, default=60, help="of which a third is held out")
    parser.add_argument("--results", type=Path, default=FOLDER / "sparse.jsonl")
    options = parser.parse_args(arguments)
    leave_out_missing(options)
    return options


if __name__ == "__main__":
    main()

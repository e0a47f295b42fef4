"""From another project's model, or from nothing: ``python -m benchmarks.start_from``.

What ``nnloop train --start-from`` gains. Of each set two projects that share no image: theirs, with
all images but ours and those to test on, and ours, with a few labels drawn by the seed. Ours is
trained twice with the same steps: under its own plans from fresh weights (of ``pretrained``:
ImageNet's), and from their network under their plans, as the product does. ``--other`` takes
theirs from other sets instead: then nothing but images as such are alike, and all classes begin
fresh.

The rest is as in ``benchmarks.few_labels``: Dice on images that neither project has, one line for
each training in ``--results``, where ``preset`` says how it started; steps are ``--epochs``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import few_labels
from benchmarks.few_labels import Cell, Results
from benchmarks.material.sets import GENERATED, parsed, parser_of
from benchmarks.material.shared_data import one_thread
from training.evaluation import mean_over_classes
from training.folds.runner import run_fold
from training.folds.spec import FINAL, FoldResult, FoldSpec

LONG = True

LABELS = (8, 16)
SCRATCH, THEIRS, FOREIGN = "scratch", "start_from", "start_from_other"
FOREIGN_OF = {
    "ultrasound": "nuclei",
    "nuclei": "ultrasound",
    "glacier": GENERATED,
    GENERATED: "glacier",
}
"""Whose model ``--other`` takes: as many channels, other classes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    torch.set_num_threads(1)
    results = Results(options.results)
    ways = [SCRATCH, THEIRS, *([FOREIGN] if options.other else [])]
    todo = [
        (Cell(data, n, seed, options.preset), way)
        for seed in options.seeds
        for data in options.sets
        for n in options.labels
        for way in ways
        if not results.has(Cell(data, n, seed, way))
    ]
    for cell, way in todo[: options.cells]:
        _measure(cell, way, options, results)
    missing = max(0, len(todo) - options.cells)
    figures = few_labels.tables(results.rows("dice"))
    print(json.dumps({**figures, **_machine(options), "missing": missing}))


def _measure(cell: Cell, way: str, options: argparse.Namespace, results: Results) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        outcome = _train(cell, way, options, Path(scratch))
    row = {
        "data": cell.data,
        "labels": cell.labels,
        "seed": cell.seed,
        "preset": way,
        "dice": round(mean_over_classes(outcome.dice_per_class) or 0.0, 4),
        "dice_per_class": outcome.dice_per_class,
        "steps": outcome.steps,
        "load": round(os.getloadavg()[0], 1),
    }
    results.add(row)
    print(json.dumps(row), flush=True)


def _train(cell: Cell, way: str, options: argparse.Namespace, scratch: Path) -> FoldResult:
    spec = few_labels.prepared_fold(cell, options.data, scratch / "ours")
    if way != SCRATCH:
        theirs = _theirs(cell, way, options, scratch / "theirs")
        plans = theirs.workspace.preprocessed_dataset / "plans.json"
        spec = few_labels.prepared_fold(
            cell, options.data, scratch / "moved", preset=spec.preset.customized(plans=str(plans))
        )
        same = len(spec.class_values) + 1 if way == THEIRS else 0
        head = (*range(same), *(-1 for _ in range(len(spec.class_values) + 1 - same)))
        spec = replace(spec, warm_start=str(theirs.fold_dir / FINAL), head=head)
    outcome = _run(spec, options.epochs)
    if outcome.warm_started != (way != SCRATCH):
        raise RuntimeError(f"{cell}, {way}: their network did not fit")
    return outcome


def _theirs(cell: Cell, way: str, options: argparse.Namespace, scratch: Path) -> FoldSpec:
    """Their project, trained."""
    data = cell.data if way == THEIRS else FOREIGN_OF[cell.data]
    ours = cell if way == THEIRS else None
    of_theirs = Cell(data, options.theirs, cell.seed, cell.preset)
    spec = few_labels.prepared_fold(of_theirs, options.data, scratch, without=ours)
    _run(spec, options.epochs)
    return spec


def _run(spec: FoldSpec, epochs: int) -> FoldResult:
    spec = replace(spec, preset=replace(spec.preset, epochs=epochs))
    outcome = run_fold(spec, lambda _: None, lambda: False)
    assert outcome is not None
    return outcome


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "preset": options.preset,
        "epochs": options.epochs,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("start_from", __doc__)
    parser.set_defaults(seeds=[0])
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS))
    parser.add_argument("--theirs", type=int, default=22, help="labelled images of their project")
    parser.add_argument("--preset", default="tiny", choices=few_labels.PRESETS)
    parser.add_argument("--epochs", type=int, default=16, help="of every training, 50 steps each")
    parser.add_argument("--other", action="store_true", help="theirs from another set, too")
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()

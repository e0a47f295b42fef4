"""Presets ``tiny`` and ``pretrained`` with few labels: ``python -m benchmarks.few_labels``.

The table behind the preset ``auto``. Each cell is one training of one preset on so many labelled
images of a set, drawn by the seed; what it learned is measured on ``N_TEST`` other images, the same
in all cells of a set, which no training sees: mean Dice over the images and then the classes, at
full size, an absent class counting for nothing (``training.evaluation.dice``).

Both presets get the same processor time on one thread. So that nothing else on the machine counts,
the time of an optimiser step is measured once per set and size of patches, of both presets in turn,
and the time for a training is turned into a number of steps, the same in every cell of theirs.
Plans are made from the labelled images alone, so patches may differ from seed to seed.

Sets: the folders of ``--data`` that are there, and generated images of the carotid artery. Each
figure is written to ``--results`` when it is there; a later call goes on from there, seed by seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.material.sets import GENERATED, draw_carotid, parsed, parser_of
from benchmarks.material.shared_data import PROJECT, Project, one_thread, write_project
from converters.bookkeeping.files import read_json, write_json
from training.case_files import read_image
from training.evaluation import mean_over_classes
from training.folds.runner import run_fold
from training.folds.spec import FoldSpec
from training.nnunet.learning.trainer import make_trainer
from training.nnunet.networks.pretrained_unet import load_pretrained
from training.presets import Preset, preset_by_name
from training.versions.version_folder import CONFIGURATION

LONG = True

LABELS = (8, 16, 32, 64)
PRESETS = ("tiny", "pretrained")

N_TEST = 36
N_GENERATED = 100

FOLD_S = 60.0
"""Processor seconds of optimiser steps in a training: a fold's of 3 on two cores in two minutes."""

_TIMED_STEPS = 12
_TEST_FOLD, _TRAINING_FOLD = 0, 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: a set, so many labels, a seed, a preset's name."""

    data: str
    labels: int
    seed: int
    preset: str


def cells(
    sets: Sequence[str], labels: Sequence[int], seeds: Sequence[int], presets: Sequence[str]
) -> Iterator[Cell]:
    """All trainings, whole tables of one seed after the other."""
    for seed in seeds:
        for n in labels:
            for data in sets:
                for preset in presets:
                    yield Cell(data, n, seed, preset)


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of rows as ``summarise`` takes them: ``datasets`` and ``seeds``."""
    found = _by_cell(rows)
    return {
        "datasets": _map(found, lambda by_seed: round(statistics.fmean(by_seed.values()), 4)),
        "seeds": _map(found, len),
    }


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tables.

    Args:
        rows: What was measured: the fields of a cell, and ``dice``.

    Returns:
        ``datasets`` (name -> labels -> preset -> mean over the seeds), ``seeds`` (the same, how
        many) and ``chosen`` (labels -> the preset with the greatest mean over the sets, of those
        cells where every preset has the same seeds).
    """
    gains: dict[int, list[dict[str, float]]] = {}
    for by_labels in _by_cell(rows).values():
        for n, by_preset in by_labels.items():
            common = set.intersection(*(set(by_seed) for by_seed in by_preset.values()))
            if common and set(by_preset) == set(PRESETS):
                gains.setdefault(n, []).append(
                    {
                        name: statistics.fmean(by_seed[seed] for seed in common)
                        for name, by_seed in by_preset.items()
                    }
                )
    return {
        **tables(rows),
        "chosen": {
            n: max(PRESETS, key=lambda name: statistics.fmean(row[name] for row in of_sets))
            for n, of_sets in sorted(gains.items())
        },
    }


def to_markdown(figures: Mapping[str, Any]) -> str:
    """One row per set and number of labels."""
    lines = [
        f"| set | labels | {' | '.join(PRESETS)} | seeds |",
        f"|---|---|{'---|' * len(PRESETS)}---|",
    ]
    for data, by_labels in figures["datasets"].items():
        for n, by_preset in by_labels.items():
            values = " | ".join(
                f"{by_preset[name]:.3f}" if name in by_preset else "" for name in PRESETS
            )
            seeds = min(figures["seeds"][data][n].values())
            lines.append(f"| {data} | {n} | {values} | {seeds} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {options.fold_seconds:g} processor seconds a training, seeds "
        f"{options.seeds}.",
        flush=True,
    )
    results = Results(options.results)
    todo = [
        cell
        for cell in cells(options.sets, options.labels, options.seeds, options.presets)
        if not results.has(cell)
    ]
    for cell in todo[: options.cells]:
        results.add(measure(cell, options, results))
    figures = summarise(results.rows("dice"))
    print(to_markdown(figures))
    print(json.dumps({**figures, "missing": max(0, len(todo) - options.cells)}))


class Results:
    """The lines of a file: cells with their Dice, and times of steps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Those that hold ``dice`` or ``step_s``."""
        return [row for row in self._rows if kind in row]

    def has(self, cell: Cell) -> bool:
        """Whether a cell was measured."""
        names = ("data", "labels", "seed", "preset")
        wanted = tuple(getattr(cell, name) for name in names)
        return any(tuple(row[name] for name in names) == wanted for row in self.rows("dice"))

    def step_s(self, cell: Cell, patches: str) -> float | None:
        """Processor seconds of an optimiser step of the set, preset and patches, if measured."""
        for row in self.rows("step_s"):
            if (row["data"], row["preset"], row.get("patches")) == (
                cell.data,
                cell.preset,
                patches,
            ):
                return float(row["step_s"])
        return None

    def add(self, row: Mapping[str, Any]) -> None:
        """Writes a line at once."""
        self._rows.append(dict(row))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def measure(cell: Cell, options: argparse.Namespace, results: Results) -> dict[str, Any]:
    """Trains and tests one cell; the line to keep."""
    with tempfile.TemporaryDirectory() as scratch:
        spec = prepared_fold(cell, options.data, Path(scratch))
        patches = _patches(spec)
        if results.step_s(cell, patches) is None:
            for name, timed_s in _steps_s(cell, options.data).items():
                steps = {"data": cell.data, "preset": name, "patches": patches}
                results.add({**steps, "step_s": round(timed_s, 4)})
        step_s = results.step_s(cell, patches)
        assert step_s is not None
        preset = spec.preset
        epochs = max(1, round(options.fold_seconds / step_s / preset.iterations_per_epoch))
        outcome = run_fold(
            replace(spec, preset=replace(preset, epochs=epochs)), lambda _: None, lambda: False
        )
    assert outcome is not None
    row = {
        "data": cell.data,
        "labels": cell.labels,
        "seed": cell.seed,
        "preset": cell.preset,
        "dice": round(mean_over_classes(outcome.dice_per_class) or 0.0, 4),
        "dice_per_class": outcome.dice_per_class,
        "steps": epochs * preset.iterations_per_epoch,
        "seconds": round(outcome.seconds, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(row), flush=True)
    return row


def prepared_fold(
    cell: Cell,
    data: Path,
    scratch: Path,
    *,
    preset: Preset | None = None,
    without: Cell | None = None,
) -> FoldSpec:
    """The training of a cell, preprocessed under plans made from its labelled images alone.

    Args:
        cell: Which images, and whose preset.
        data: Folder of the sets.
        scratch: An empty folder, or one to make.
        preset: In place of the cell's.
        without: A cell of the same set whose images are not drawn.
    """
    preset = replace(preset or preset_by_name(cell.preset), patience=None)
    project = _prepared(cell, data, scratch, preset, without)
    return FoldSpec(
        workspace_root=str(project.workspace.root),
        project_id=PROJECT,
        run="few-labels",
        fold=_TEST_FOLD,
        class_values=project.class_values,
        preset=preset,
        seed=cell.seed,
    )


def _patches(spec: FoldSpec) -> str:
    """``4 x 128 x 160``: patches of a step, their height and width."""
    plans = read_json(spec.workspace.preprocessed_dataset / "plans.json")
    configuration = plans["configurations"][CONFIGURATION]
    return " x ".join(map(str, [configuration["batch_size"], *configuration["patch_size"]]))


def _prepared(
    cell: Cell, data: Path, scratch: Path, preset: Preset, without: Cell | None
) -> Project:
    folder = data / cell.data
    if cell.data == GENERATED:
        folder = scratch / GENERATED
        draw_carotid(folder, max(N_GENERATED, cell.labels + N_TEST))
    project = write_project(folder, scratch / "work", n_folds=2)
    # Cases come in an order given by their names' hashes: the first are those to test on, of
    # generated ones the first of those that every cell has.
    drawn_always = {f"{GENERATED}_{index:03d}" for index in range(N_GENERATED)}
    fit = [c for c in project.cases if cell.data != GENERATED or c.case_id in drawn_always]
    test = tuple(fit[:N_TEST])
    rest = tuple(case for case in project.cases if case not in test)
    order = np.random.default_rng(cell.seed).permutation(len(rest))
    drawn = order[without.labels if without else 0 :][: cell.labels]
    if len(drawn) < cell.labels:
        raise ValueError(f"{cell.data} has {len(drawn)} images to train on, not {cell.labels}")
    labelled = tuple(rest[i] for i in drawn)
    folds = {case.case_id: _TRAINING_FOLD for case in labelled}
    # Both folds have to have a case.
    first = {labelled[0].case_id: _TEST_FOLD}
    replace(project, cases=labelled, folds=folds | first).prepare(preset)
    # Preparing has removed the others' files.
    write_project(folder, scratch / "work", n_folds=2)
    folds |= {case.case_id: _TEST_FOLD for case in test}
    project = replace(project, cases=(*labelled, *test), folds=folds)
    # The plans stay, however the images to test on differ from those they were made for.
    sizes = np.array([read_image(case.label_png).shape for case in project.cases])
    index = project.workspace.preprocessed_dataset / "index.json"
    planned_for = [len(project.cases), *np.median(sizes, axis=0).tolist()]
    write_json(index, {**read_json(index), "planned_for": planned_for})
    if project.prepare(preset).planned:
        raise RuntimeError(f"{cell} was planned with the images to test on")
    return project


def _steps_s(cell: Cell, data: Path) -> dict[str, float]:
    """Processor seconds of one optimiser step of each preset, its batch included: medians.

    Steps of the presets in turn, so that both meet the same machine.
    """
    with tempfile.TemporaryDirectory() as scratch:
        step = {
            name: _stepper(prepared_fold(replace(cell, preset=name), data, Path(scratch) / name))
            for name in PRESETS
        }
        seconds: dict[str, list[float]] = {name: [] for name in PRESETS}
        for _ in range(_TIMED_STEPS + 2):
            for name in PRESETS:
                started = time.process_time()
                step[name]()
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values[2:]) for name, values in seconds.items()}


def _stepper(spec: FoldSpec) -> Callable[[], None]:
    """Makes one optimiser step at each call."""
    folder = spec.workspace.preprocessed_dataset
    trainer = make_trainer(
        spec,
        read_json(folder / "plans.json"),
        read_json(folder / "dataset.json"),
        started=time.monotonic(),
    )
    spec.fold_dir.mkdir(parents=True)
    trainer.initialize()
    load_pretrained(trainer.plain_network)
    trainer.network.train()
    loader, _ = trainer.get_dataloaders()

    def step() -> None:
        trainer.train_step(next(loader))

    return step


def _by_cell(
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, dict[int, dict[str, dict[int, float]]]]:
    """Set -> labels -> preset -> seed -> Dice."""
    found: dict[str, dict[int, dict[str, dict[int, float]]]] = {}
    for row in rows:
        by_preset = found.setdefault(row["data"], {}).setdefault(row["labels"], {})
        by_preset.setdefault(row["preset"], {})[row["seed"]] = row["dice"]
    return found


def _map(found: Any, value: Callable[[Any], Any]) -> Any:
    return {
        data: {
            n: {name: value(by_seed) for name, by_seed in by_preset.items()}
            for n, by_preset in sorted(by_labels.items())
        }
        for data, by_labels in found.items()
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("few_labels", __doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS))
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--fold-seconds", type=float, default=FOLD_S)
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()

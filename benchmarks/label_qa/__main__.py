"""Whether wrong labels are found: ``python -m benchmarks.label_qa``.

Each cell is one set and one seed: 5 % of the set's labels are broken, each in one of five ways
(``breaking``), the folds of one preset are trained on the set as it then is, and each predicts the
cases it has held out, as a run of nnloop's does. All cases are ranked by the product's own code.
Recall of a kind is the share of the labels broken that way that are among the worst tenth of all
cases, whatever they are doubted for.

Sets: the folders of ``--data`` that are there, and generated images of the carotid artery. The
method was developed on ``DEVELOPED_ON``; the other sets judge it. Each cell is written to
``--results`` when it is there; a later call goes on from there. The file holds what was doubted,
by the code of its time: begin a new one when that has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.label_qa.breaking import break_labels
from benchmarks.label_qa.drawn import common_faults, small_projects
from benchmarks.label_qa.figures import summarise, to_markdown
from benchmarks.material.committee import train_folds
from benchmarks.material.sets import GENERATED, draw_carotid, parsed, parser_of
from benchmarks.material.shared_data import Project, one_thread, write_project
from converters.bookkeeping.documents import read_document
from domain.doubts import DoubtKind, DoubtsPerCase
from domain.geometry import LabelMap
from training.case_files import CaseFiles, read_image, write_case
from training.folds.spec import DOUBTS
from training.presets import Preset, preset_by_name

LONG = True

DEVELOPED_ON = ("ultrasound", GENERATED)
SETS = (*DEVELOPED_ON, "nuclei", "glacier")
N_GENERATED = 100
RUN = "label-qa"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {options.preset}, {options.folds} folds of {options.epochs} "
        f"epochs, seeds {options.seeds}.",
        flush=True,
    )
    training = f"{options.preset}, {options.folds} folds, {options.epochs} epochs"
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    done = {(row["data"], row["seed"], row["training"]) for row in rows}
    todo = [
        (data, seed)
        for seed in options.seeds
        for data in options.sets
        if (data, seed, training) not in done
    ]
    preset = replace(preset_by_name(options.preset), patience=None, epochs=options.epochs)
    for data, seed in todo[: options.cells]:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            row = measure(data, seed, preset, options, Path(scratch))
        rows.append({"training": training, **row})
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(
            f"{data}, seed {seed}: {len(row['cases'])} cases, out-of-fold Dice {row['dice']:.3f}, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
    found = [row for row in rows if row["training"] == training and row["data"] in options.sets]
    figures = summarise(found, DEVELOPED_ON)
    print(to_markdown(figures))
    rng = np.random.default_rng(0)
    small = {f"{row['data']} {row['seed']}": small_projects(row, rng) for row in found}
    common = {f"{row['data']} {row['seed']}": common_faults(row, rng) for row in found}
    missing = max(0, len(todo) - options.cells)
    machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(
        json.dumps(
            {
                **figures,
                "small": small,
                "common": common,
                **machine,
                "training": training,
                "missing": missing,
            }
        )
    )


def measure(
    data: str, seed: int, preset: Preset, options: argparse.Namespace, scratch: Path
) -> dict[str, Any]:
    """Breaks, trains and doubts; the line to keep: ``cases`` with how each was broken."""
    project, broken = broken_project(data, seed, options, scratch)
    project.prepare(preset)
    outcomes = train_folds(project, RUN, preset, seed)
    doubts: DoubtsPerCase = {}
    for fold in sorted(set(project.folds.values())):
        folder = project.workspace.fold_dir(RUN, fold)
        doubts |= read_document(folder / DOUBTS, DoubtsPerCase)
    return {
        "data": data,
        "seed": seed,
        "dice": round(
            float(np.mean([d for o in outcomes for d in o.dice_per_class.values() if d])), 4
        ),
        "cases": [
            {
                "case": case_id,
                "broken": broken.get(case_id, ""),
                "doubts": [
                    [one.kind, round(one.strength, 5), one.label, one.other, *one.box]
                    for one in of_case
                ],
            }
            for case_id, of_case in doubts.items()
        ],
    }


def broken_project(
    data: str, seed: int, options: argparse.Namespace, scratch: Path
) -> tuple[Project, dict[str, DoubtKind]]:
    """The project of a set with some labels broken, and how those were."""
    folder = options.data / data
    if data == GENERATED:
        folder = scratch / GENERATED
        draw_carotid(folder, N_GENERATED)
    project = write_project(folder, scratch / "work", n_folds=options.folds)
    truths: dict[str, LabelMap] = {c.case_id: project.truth(c.case_id) for c in project.cases}
    labels, broken = break_labels(truths, len(project.class_values), np.random.default_rng(seed))
    cases = tuple(
        _relabelled(project, case, folder, labels[case.case_id]) if case.case_id in broken else case
        for case in project.cases
    )
    return replace(project, cases=cases), broken


def _relabelled(project: Project, case: CaseFiles, folder: Path, label: LabelMap) -> CaseFiles:
    """The case with another label map."""
    (image,) = (folder / "images").glob(f"{case.case_id}.*")
    return write_case(
        project.workspace, case.case_id, read_image(image), label, n_channels=project.n_channels
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("label_qa", __doc__, SETS)
    parser.set_defaults(seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--preset", default="pretrained", choices=["tiny", "pretrained"])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="of each fold, whatever it learns")
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()

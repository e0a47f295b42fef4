"""What the score says against what is true: ``python -m benchmarks.score``.

Each cell is one committee: folds of one preset trained on ``--labels`` images of a set, drawn by
the seed. It predicts all other images of the set, as a pool, and each is measured as the product
does (``active_learning.measures``) and compared with its truth. Then people are played: of a part
of the pool they take batches of 10, nine with the lowest score and one at random; after 0, 10, 30
and 60 corrections the calibration is fitted as the product fits it, and its scores are judged on 40
images that nobody has corrected, over 20 ways of parting the pool. Beside them: single measures in
the place of the score, of the committee and of its first network alone, which is compared with
itself on mirrored images. The prior for a set is learnt on the other sets alone.

Sets: the folders of ``--data`` that are there, and generated images of the carotid artery, 40 % of
them empty, one in ten with plaque. Each cell is written to ``--results`` when it is there; a later
call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from active_learning.measures import measure_image
from benchmarks.material import rare_carotid
from benchmarks.material.committee import train_folds
from benchmarks.material.sets import GENERATED, parsed, parser_of
from benchmarks.material.shared_data import Project, one_thread, write_project
from benchmarks.score.figures import Image, Measured, summarise, to_markdown
from domain.prediction import most_probable
from training.case_files import read_case_image
from training.evaluation import image_dice, named_dice
from training.folds.splits import assign_folds
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.predictor import FoldPredictor
from training.presets import Preset, preset_by_name
from training.versions.version_folder import VersionInfo, library_versions, package_version
from training.versions.working_size import WorkingSize

LONG = True

RUN = "score"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {options.preset}, {options.folds} folds of {options.epochs} "
        f"epochs on {options.labels} labels, seeds {options.seeds}.",
        flush=True,
    )
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    done = {(row["data"], row["labels"], row["seed"], row["training"]) for row in rows}
    training = f"{options.preset}, {options.folds} folds, {options.epochs} epochs"
    todo = [
        (data, seed)
        for seed in options.seeds
        for data in options.sets
        if (data, options.labels, seed, training) not in done
    ]
    for data, seed in todo[: options.cells]:
        with tempfile.TemporaryDirectory() as scratch:
            row = {"training": training, **_measured(data, seed, options, Path(scratch))}
        rows.append(row)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        true = np.mean([image["dice"] for image in row["pool"]])
        print(f"{data}, seed {seed}: {len(row['pool'])} images, true Dice {true:.3f}", flush=True)
    found = [
        Measured.of_row(row)
        for row in rows
        if row["training"] == training and row["labels"] == options.labels
    ]
    figures = summarise([one for one in found if one.data in options.sets])
    print(to_markdown(figures))
    missing = max(0, len(todo) - options.cells)
    machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({**figures, **machine, "training": training, "missing": missing}))


def _measured(data: str, seed: int, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Trains a committee, and measures its held-out cases and its pool; the line to keep."""
    preset = replace(preset_by_name(options.preset), patience=None, epochs=options.epochs)
    folder = options.data / data
    if data == GENERATED:
        folder = scratch / GENERATED
        rare_carotid.write_folder(folder)
    every = write_project(folder, scratch / "every", n_folds=options.folds)
    order = np.random.default_rng(seed).permutation(len(every.cases))
    labelled = {every.cases[i].case_id for i in order[: options.labels]}
    project = _labelled(folder, labelled, scratch / "work", options.folds)
    project.prepare(preset)
    outcomes = train_folds(project, RUN, preset, seed)
    info = VersionInfo(
        RUN,
        project.class_values,
        project.n_channels,
        preset,
        tuple(range(options.folds)),
        library_versions(),
    )
    version = package_version(project.workspace, RUN, info)
    size = WorkingSize.of_version(version)
    pool = [case.case_id for case in every.cases if case.case_id not in labelled]
    return {
        "data": data,
        "labels": options.labels,
        "seed": seed,
        "cap": round(size.most, 4) if size else 1.0,
        "held_out": [
            (
                round(expected.soft_dice, 5),
                round(image_dice(outcome.dice_per_case[case_id].values()), 5),
                expected.is_empty,
            )
            for outcome in outcomes
            for case_id, expected in outcome.expected.items()
        ],
        "pool": _images(version, every, pool, preset),
        "alone": _images(version, every, pool, preset, folds=(0,)),
    }


def _labelled(folder: Path, labelled: set[str], root: Path, n_folds: int) -> Project:
    """The project as if nobody had seen the other images."""
    project = write_project(folder, root, n_folds=n_folds)
    cases = tuple(case for case in project.cases if case.case_id in labelled)
    folds = assign_folds({}, [case.case_id for case in cases], n_folds)
    return replace(project, cases=cases, folds=folds)


def _images(
    version: Path,
    every: Project,
    case_ids: Sequence[str],
    preset: Preset,
    folds: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """The fields of an ``Image`` for each case; of a network without views none."""
    predictor = FoldPredictor.load(version, folds=folds, mirroring=preset.mirror_predict)
    loaded = partial(read_case_image, every.workspace)
    found = []
    for case_id, maps in predictor.predict_stream(case_ids, loaded, with_views=True):
        image = _image(maps.result(), every.truth(case_id), every.class_values)
        if image is not None:
            found.append(image)
    return found


def _image(
    maps: FoldMaps, truth: npt.NDArray[np.uint8], class_values: Sequence[str]
) -> dict[str, Any] | None:
    measures = measure_image((block for _, block in maps.blocks()), views=maps.views())
    if measures.pairwise_dice is None:
        return None
    dice = named_dice(most_probable(maps.mean()), truth, class_values)
    image = Image(
        soft_dice=measures.soft_dice,
        pairwise_dice=measures.pairwise_dice,
        entropy=measures.entropy,
        entropy_band=measures.entropy_band,
        information_band=measures.information_band,
        is_empty=measures.is_empty,
        dice=image_dice(dice.values()),
    )
    return {
        name: value if isinstance(value, bool) else round(value, 5)
        for name in Image.__dataclass_fields__
        for value in [getattr(image, name)]
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("score", __doc__)
    parser.add_argument("--labels", type=int, default=16, help="images a committee is trained on")
    parser.add_argument("--preset", default="pretrained", choices=["tiny", "pretrained"])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="of each fold, whatever it learns")
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()

"""A preset under a time budget, next to nnU-Net: ``python -m benchmarks.quality --data DIR``.

Both sides get the same folds and the same wall-clock time, as many folds at once as a run of
nnloop's trains on this machine's CPU, with one thread each. The budget of nnloop's preset
(``--preset``) covers everything after the annotations are there: preprocessing, the start of
processes, training, and the prediction of the held-out cases. nnU-Net gets the same time per fold
for starting and training; its preprocessing and its prediction come on top. It is its plain trainer
with the plans it makes by itself, at full resolution (or, with ``--plain-side``, on images made
smaller for it).

Dice is measured on label maps of full size, each case by the fold that did not train on it. Where
``--cases`` leaves images over, ``unlabelled`` is the Dice of all folds together on those: what
annotators are shown, by networks of which each has seen a part of the labels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from backend.pipeline.folds.budget import share
from benchmarks.material.shared_data import Project, one_thread, write_project
from converters.bookkeeping.files import read_json, write_json
from domain.prediction import most_probable
from training.case_files import read_case_image
from training.devices import VARIABLE, list_devices
from training.evaluation import ClassDice, mean_over_cases, mean_over_classes, named_dice
from training.folds.runner import run_fold
from training.folds.spec import EpochProgress, FoldResult, FoldSpec
from training.nnunet.inference.predictor import FoldPredictor
from training.presets import FULL, Preset, preset_by_name
from training.versions.version_folder import VersionInfo, library_versions, package_version

WORKERS = list_devices({VARIABLE: "cpu"})[0].workers
"""Folds trained at once, one thread each."""

_PLAIN_ENVIRONMENT = {
    "nnUNet_compile": "false",
    "nnUNet_def_n_proc": "1",
    # Augmentation in the training process, as in nnloop's folds.
    "nnUNet_n_proc_DA": "0",
}

ROOT = Path(__file__).resolve().parent.parent
RUN = "quality"


@dataclass(frozen=True, slots=True)
class Summary:
    """Dice of one side, means over the held-out cases; None for a class that is in none of them.

    Attributes:
        dice: Class -> mean over the cases that have it in truth or prediction
            (``training.evaluation.dice``).
        dice_present: Class -> mean over the cases whose truth has the class.
        dice_folds: Fold -> class -> mean.
        mean: Mean of ``dice`` over the classes.
    """

    dice: ClassDice
    dice_present: ClassDice
    dice_folds: Mapping[int, ClassDice]
    mean: float


def summarise(
    dice_per_case: Mapping[int, Mapping[str, Mapping[str, float | None]]],
    present: Mapping[str, frozenset[str]],
) -> Summary:
    """Means of what the folds measured.

    Args:
        dice_per_case: Fold -> case id -> class -> Dice.
        present: Case id -> classes in its truth.
    """
    pooled = {case_id: row for rows in dice_per_case.values() for case_id, row in rows.items()}
    where_present = {
        case_id: {name: value for name, value in row.items() if name in present[case_id]}
        for case_id, row in pooled.items()
    }
    dice = mean_over_cases(pooled)
    return Summary(
        dice=_rounded(dice),
        dice_present=_rounded(mean_over_cases(where_present)),
        dice_folds={
            fold: _rounded(mean_over_cases(rows)) for fold, rows in sorted(dice_per_case.items())
        },
        mean=round(mean_over_classes(dice) or 0.0, 4),
    )


class FoldClock:
    """Shares a budget out over folds as a training run does. Thread-safe."""

    def __init__(self, budget_s: float, n_folds: int, *, workers: int = WORKERS) -> None:
        self._ends_at = time.monotonic() + budget_s
        self._waiting, self._workers = n_folds, workers
        self._busy: dict[int, float] = {}
        self._lock = threading.Lock()

    def start(self, fold: int) -> float:
        """Seconds a fold that starts now may take."""
        with self._lock:
            now = time.monotonic()
            self._waiting -= 1
            free_in = [max(0.0, end - now) for end in self._busy.values()]
            free_in += [0.0] * (self._workers - len(free_in))
            seconds = share(self._ends_at - now, self._waiting + 1, free_in)
            self._busy[fold] = now + seconds
            return seconds

    def end(self, fold: int) -> None:
        """The fold has its result."""
        with self._lock:
            del self._busy[fold]


def train_ours(
    project: Project, preset: Preset, folds: Sequence[int], budget_s: float, seed: int
) -> list[Any]:
    """Trains the folds through the product's fold runner; the outcomes in order of ``folds``."""
    clock = FoldClock(budget_s, len(folds))

    def one(fold: int) -> FoldResult:
        spec = FoldSpec(
            workspace_root=str(project.workspace.root),
            project_id=project.workspace.project_id,
            run=RUN,
            fold=fold,
            class_values=project.class_values,
            preset=preset,
            budget_s=clock.start(fold),
            seed=seed,
        )
        result = run_fold(spec, _report, lambda: False)
        assert result is not None
        clock.end(fold)
        return result

    return _side_by_side(one, folds)


def train_plain(project: Project, folds: Sequence[int], budget_s: float) -> list[Any]:
    """Trains the folds with nnU-Net's trainer; ``benchmarks.peers.plain_nnunet.train``'s values."""
    # Equal shares, not a clock: what nnU-Net's predictions take must not be taken from later folds.
    fold_s = share(budget_s, len(folds), [0.0] * WORKERS)

    def one(fold: int) -> dict[str, Any]:
        folder = project.workspace.fold_dir("plain", fold)
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            "root": str(project.workspace.root),
            "project_id": project.workspace.project_id,
            "fold": fold,
            "class_values": project.class_values,
            "threads": 1,
            "budget_s": fold_s,
            "out": str(folder / "out.json"),
        }
        write_json(folder / "spec.json", spec)
        with (folder / "log.txt").open("wb") as log:
            subprocess.run(
                [sys.executable, "-m", "benchmarks.peers.plain_nnunet", str(folder / "spec.json")],
                cwd=ROOT,
                env={**os.environ, **_PLAIN_ENVIRONMENT},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        outcome: dict[str, Any] = read_json(folder / "out.json")
        print(f"plain fold {fold}: {outcome['steps']} steps, {outcome['dice_per_class']}")
        return outcome

    return _side_by_side(one, folds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    options = _parse(arguments)
    one_thread()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(options, Path(scratch))
    print(json.dumps(figures))


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Runs both sides below a scratch folder; the figures."""
    _say_settings(options)
    project = write_project(
        options.data, scratch / "ours", n_folds=options.folds, n_cases=options.cases
    )
    present = {case.case_id: _classes(project, case.case_id) for case in project.cases}
    started = time.monotonic()
    preset = preset_by_name(options.preset)
    folds = project.prepare(preset).folds
    left_s = options.budget - (time.monotonic() - started)
    outcomes = train_ours(project, preset, folds, left_s, options.seed)
    seconds = time.monotonic() - started
    ours = summarise({outcome.fold: outcome.dice_per_case for outcome in outcomes}, present)
    figures: dict[str, Any] = {
        "dice": ours.dice,
        "plain_dice": None,
        "budget_s": options.budget,
        "seconds": round(seconds, 1),
        "mean": ours.mean,
        "detail": asdict(ours),
        "epochs": {outcome.fold: outcome.epochs for outcome in outcomes},
    }
    if options.cases is not None:
        found = _unlabelled(project, preset, options.data, scratch)
        figures["unlabelled"] = _rounded(found)
        figures["unlabelled_mean"] = round(mean_over_classes(found) or 0.0, 4)
    if not options.skip_plain:
        plain_project = write_project(
            options.data, scratch / "plain", n_folds=options.folds, n_cases=options.cases
        )
        # nnU-Net's own plans, whatever preset the comparison is with.
        plain_project.prepare(_plain_preset(options.plain_side))
        plain_outcomes = train_plain(plain_project, folds, left_s)
        rows = {k: row["dice_per_case"] for k, row in zip(folds, plain_outcomes, strict=True)}
        plain = summarise(rows, present)
        figures["plain_dice"], figures["plain_mean"] = plain.dice, plain.mean
        figures["plain_detail"] = asdict(plain)
        figures["plain_steps"] = {
            k: row["steps"] for k, row in zip(folds, plain_outcomes, strict=True)
        }
    return figures


def _unlabelled(project: Project, preset: Preset, data: Path, scratch: Path) -> ClassDice:
    """Mean Dice of the images that are not among the project's cases, predicted by all folds."""
    folds = tuple(sorted(set(project.folds.values())))
    info = VersionInfo(
        RUN, project.class_values, project.n_channels, preset, folds, library_versions()
    )
    folder = package_version(project.workspace, RUN, info)
    predictor = FoldPredictor.load(folder, mirroring=preset.mirror_predict)
    every = write_project(data, scratch / "every", n_folds=len(folds))
    labelled = {case.case_id for case in project.cases}
    dice = {}
    for case in every.cases:
        if case.case_id not in labelled:
            image = read_case_image(every.workspace, case.case_id)
            drawn = most_probable(predictor.predict(image).mean(axis=0))
            truth = every.truth(case.case_id)
            dice[case.case_id] = named_dice(drawn, truth, project.class_values)
    return mean_over_cases(dice)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data" / "ultrasound",
        help="folder with images/ and masks/",
    )
    parser.add_argument("--budget", type=float, default=600.0, help="seconds for all folds")
    parser.add_argument("--preset", default="tiny", choices=["tiny", "pretrained"])
    parser.add_argument("--cases", type=int, default=None, help="labelled images; default: all")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-plain", action="store_true", help="only nnloop's side")
    parser.add_argument(
        "--plain-side",
        type=int,
        default=None,
        help="longest side in pixels that nnU-Net's images are reduced to; default: full size",
    )
    options = parser.parse_args(arguments)
    if options.budget <= 0 or options.folds < 2:
        parser.error(f"--budget {options.budget} must be positive, --folds {options.folds} >= 2")
    return options


def _plain_preset(side: int | None) -> Preset:
    return replace(FULL, max_image_side=side)


def _classes(project: Project, case_id: str) -> frozenset[str]:
    truth = project.truth(case_id)
    return frozenset(
        name for k, name in enumerate(project.class_values, start=1) if (truth == k).any()
    )


def _side_by_side(work: Callable[[int], Any], folds: Sequence[int]) -> list[Any]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, folds))


def _report(epoch: EpochProgress) -> None:
    if epoch.case_dice is not None:
        print(
            f"fold {epoch.fold}, epoch {epoch.epoch} of {epoch.epochs}: loss "
            f"{epoch.train_loss:.3f}, held-out sample {dict(epoch.case_dice)}",
            flush=True,
        )


def _rounded(values: Mapping[str, float | None]) -> ClassDice:
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def _say_settings(options: argparse.Namespace) -> None:
    size = "full size" if options.plain_side is None else f"at most {options.plain_side} pixels"
    print(
        f"{options.data.name}, {options.folds} folds, {WORKERS} at a time with 1 thread each, "
        f"{options.budget:.0f} s in all.\n"
        f"nnloop: preset {options.preset}, preprocessing and prediction of held-out cases inside "
        "the budget.\n"
        f"nnU-Net: nnUNetTrainer with its own plans, images of {size}, mirrored prediction with "
        "tile step 0.5; preprocessing and prediction outside the budget.",
        flush=True,
    )


if __name__ == "__main__":
    main()

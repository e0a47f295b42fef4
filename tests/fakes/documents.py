"""Documents as a run leaves them, with what a test does not name filled in."""

from __future__ import annotations

from typing import Any

from domain.case import Manifest
from training.evaluation import DicePerCase, mean_over_cases
from training.folds.spec import FoldResult
from training.presets import TINY, Preset
from training.versions.manifests import FoldStart, RunManifest


def run_manifest(manifest: Manifest, preset: Preset = TINY) -> RunManifest:
    return RunManifest(
        manifest.entries,
        manifest.left_out,
        manifest.class_values,
        manifest.n_folds,
        n_channels=1,
        label_mapping=manifest.label_mapping,
        group_key=manifest.group_key,
        preset=preset,
        starts=tuple(FoldStart(seed=fold) for fold in range(manifest.n_folds)),
    )


def fold_result(dice: DicePerCase | None = None, **fields: Any) -> FoldResult:
    values: dict[str, Any] = {
        "fold": 0,
        "epochs": 1,
        "steps": 50,
        "dice_per_case": dice or {},
        "dice_per_class": mean_over_cases(dice or {}),
        "seconds": 1.0,
        "device": "cpu",
        "warm_started": False,
        "stopped": "",
        "batch_size": 2,
        "planned_batch_size": 2,
    }
    return FoldResult(**values | fields)

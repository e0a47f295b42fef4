"""nnU-Net's plans for a preset: fingerprint, planning, then the preset's edits."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
    DatasetFingerprintExtractor,
)
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
    ExperimentPlanner,
)
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

from converters.files import read_json, write_json
from domain.errors import TrainingError
from training.cases import CaseFiles
from training.nnunet.environment import project_roots
from training.presets import Preset
from training.workspace import Workspace

CONFIGURATION = "2d"

_FOREGROUND_SAMPLES = 10_000_000
"""Pixels sampled over the whole set for intensity statistics (nnU-Net takes 10e7)."""

_LINEAR_RESAMPLING = {
    # nnU-Net's torch resampling; the skimage one takes 8 times longer on a 660 x 460 image.
    "resampling_fn_probabilities": "resample_torch_fornnunet",
    "resampling_fn_probabilities_kwargs": {
        "is_seg": False,
        "num_threads": 1,
        "force_separate_z": False,
        "memefficient_seg_resampling": False,
    },
}


def dataset_json(class_values: Sequence[str], n_channels: int, n_cases: int) -> dict[str, Any]:
    """nnU-Net's dataset.json.

    Label names get their integer as prefix: nnU-Net gives ``background`` and ``ignore`` a meaning,
    and a user may name a class so.
    """
    channels = ("R", "G", "B") if n_channels == 3 else ("grey",)
    return {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": {
            "background": 0,
            **{f"{k}_{value}": k for k, value in enumerate(class_values, start=1)},
        },
        "numTraining": n_cases,
        "file_ending": ".png",
        "overwrite_image_reader_writer": NaturalImage2DIO.__name__,
    }


def make_plans(workspace: Workspace, cases: Sequence[CaseFiles], preset: Preset) -> dict[str, Any]:
    """Plans for the cases as they are now; writes fingerprint and plans.json.

    Needs dataset.json in the raw folder. Runs in this process: nnU-Net's pools cost more than the
    work on sets of this size.

    Raises:
        TrainingError: No case has a labelled pixel.
    """
    folder = workspace.preprocessed_dataset
    fingerprint = _fingerprint(cases, read_json(workspace.raw_dataset / "dataset.json"))
    write_json(folder / "dataset_fingerprint.json", fingerprint)
    # The planner merges into plans that are already there.
    (folder / f"{_Planner.PLANS}.json").unlink(missing_ok=True)
    with project_roots(workspace), contextlib.redirect_stdout(io.StringIO()):
        planner = _Planner(workspace.dataset_name, preset)
        plans: dict[str, Any] = planner.plan_experiment()
    _apply(preset, plans)
    write_json(folder / "plans.json", plans)
    return plans


def _fingerprint(cases: Sequence[CaseFiles], dataset: dict[str, Any]) -> dict[str, Any]:
    per_case = max(1, _FOREGROUND_SAMPLES // len(cases))
    rows = [
        DatasetFingerprintExtractor.analyze_case(
            [str(case.image_png)], str(case.label_png), NaturalImage2DIO, per_case
        )
        for case in cases
    ]
    statistics = {}
    for channel in range(len(dataset["channel_names"])):
        values = np.concatenate([np.asarray(row[2][channel]) for row in rows])
        if values.size == 0:
            raise TrainingError(
                f"None of the {len(cases)} training images has a labelled pixel.",
                remedy="Label at least one image that shows one of the classes.",
            )
        low, median, high = np.percentile(values, (0.5, 50.0, 99.5))
        statistics[str(channel)] = {
            "mean": float(values.mean()),
            "median": float(median),
            "std": float(values.std()),
            "min": float(values.min()),
            "max": float(values.max()),
            "percentile_99_5": float(high),
            "percentile_00_5": float(low),
        }
    return {
        "shapes_after_crop": [[int(n) for n in row[0]] for row in rows],
        "spacings": [[float(s) for s in row[1]] for row in rows],
        "foreground_intensity_properties_per_channel": statistics,
        "median_relative_size_after_cropping": float(np.median([row[4] for row in rows])),
    }


class _Planner(ExperimentPlanner):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's planner, at the coarser spacing a preset may ask for."""

    PLANS = "nnUNetPlans"

    def __init__(self, dataset_name: str, preset: Preset) -> None:
        super().__init__(dataset_name, plans_name=self.PLANS)
        self._max_side = preset.max_image_side

    def determine_fullres_target_spacing(self) -> Any:
        spacing = super().determine_fullres_target_spacing()
        shape = np.median(self.dataset_fingerprint["shapes_after_crop"], axis=0)
        if self._max_side is not None and shape.max() > self._max_side:
            spacing = spacing.astype(np.float64)
            spacing[1:] *= shape.max() / self._max_side
        return spacing


def _apply(preset: Preset, plans: dict[str, Any]) -> None:
    configuration = plans["configurations"][CONFIGURATION]
    if preset.batch_size is not None:
        configuration["batch_size"] = preset.batch_size
    if preset.name != "full":
        configuration.update(_LINEAR_RESAMPLING)
    if preset.features_per_stage is not None:
        _set_architecture(configuration, preset.features_per_stage, preset.n_conv_per_stage or 2)
    if preset.max_patch_side is not None:
        strides = np.array(configuration["architecture"]["arch_kwargs"]["strides"])
        configuration["patch_size"] = [
            _patch_side(side, preset.max_patch_side, int(divisor))
            for side, divisor in zip(
                configuration["median_image_size_in_voxels"], strides.prod(axis=0), strict=True
            )
        ]


def _set_architecture(
    configuration: dict[str, Any], features: tuple[int, ...], n_conv: int
) -> None:
    stages = len(features)
    configuration["architecture"]["arch_kwargs"].update(
        n_stages=stages,
        features_per_stage=list(features),
        kernel_sizes=[[3, 3]] * stages,
        strides=[[1, 1]] + [[2, 2]] * (stages - 1),
        n_conv_per_stage=[n_conv] * stages,
        n_conv_per_stage_decoder=[n_conv] * (stages - 1),
    )


def _patch_side(median_side: float, max_side: int, divisor: int) -> int:
    # The network halves the patch once per stage: round up to what divides, within the cap.
    cap = max(divisor, max_side // divisor * divisor)
    return min(cap, max(2 * divisor, math.ceil(median_side / divisor) * divisor))

"""nnU-Net's plans for a preset: fingerprint, planning, then the preset's edits."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
    DatasetFingerprintExtractor,
)
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

from converters.bookkeeping.documents import to_json
from converters.bookkeeping.files import read_json, write_json
from converters.classes.dataset_unions import IGNORE, painting_of
from domain.errors import TrainingError
from domain.geometry import LabelMap
from domain.hashing import content_hash
from domain.unions import UnionPlan
from training.case_files import CaseFiles, read_image
from training.dataset_labels import ignored_integer
from training.nnunet.classes import planner_class
from training.nnunet.data.case_pool import CasePool
from training.nnunet.data.plans_made_elsewhere import PLANS_NAME, read_named_plans
from training.nnunet.data.resolution import coarsest_side, kept_dice, mean_kept
from training.nnunet.environment import project_roots
from training.nnunet.networks.pretrained_unet import STRIDES
from training.presets import Preset
from training.pretrained import NETWORK
from training.versions import working_size
from training.versions.named_plans import find_plans
from training.versions.working_size import WorkingSize
from training.workspace import Workspace

CONFIGURATION = "2d"

PLANS = "plans.json"
"""The plans as trained with, below the preprocessed dataset."""

_FOREGROUND_SAMPLES = 10_000_000
"""Pixels sampled over the whole set for intensity statistics (nnU-Net takes 10e7)."""

_RESOLUTION_CASES = 40
"""Label maps looked at to choose the working size: 0.1 s and reading them at 600 x 600 pixels."""

_LEAST_RESOLUTION_CASES = 8
_RESOLUTION_PX = 2**25
"""Of larger ones fewer, down to 8, until there are so many pixels."""

_PER_IMAGE = frozenset(
    {
        "ZScoreNormalization",
        "NoNormalization",
        "RescaleTo01Normalization",
        "RGBTo01Normalization",
    }
)
"""nnU-Net's normalisations that take nothing from the plans."""

_FAST_EXPORT = {
    # nnU-Net's torch resampling; the skimage one takes 8 times longer on a 660 x 460 image.
    "resampling_fn_probabilities": "resample_torch_fornnunet",
    "resampling_fn_probabilities_kwargs": {
        "is_seg": False,
        "num_threads": 1,
        "force_separate_z": False,
        "memefficient_seg_resampling": False,
    },
}


def dataset_json(
    class_values: Sequence[str],
    n_channels: int,
    n_cases: int,
    channels: Sequence[str] = (),
    *,
    has_ignore: bool = False,
    unions: UnionPlan | None = None,
) -> dict[str, Any]:
    """nnU-Net's dataset.json.

    Names of labels and channels get their integer as prefix: nnU-Net gives ``background`` and
    ``ignore``, ``ct`` and ``noNorm`` a meaning, and a user may use these words.

    Args:
        class_values: Class names in integer order, background left out.
        n_channels: As the cases were written.
        n_cases: Cases in the set.
        channels: Names of the images stacked as channels, each grey or all RGB; none for a single
            image.
        has_ignore: Whether pixels of the integer after the last class are ignored.
        unions: What is learned in place of the classes; label maps hold the classes all the same.
    """
    names = _channel_names(n_channels, channels)
    ignored = {IGNORE: len(class_values) + 1} if has_ignore else {}
    learned: dict[str, int | list[int]] = {
        f"{k}_{value}": k for k, value in enumerate(class_values, start=1)
    }
    order: dict[str, Any] = {}
    if unions is not None:
        learned = {
            f"{target.paints}_{target.name}": list(target.members) for target in unions.targets
        }
        order = painting_of(class_values, unions)
    return {
        "channel_names": {str(i): name for i, name in enumerate(names)},
        "labels": {"background": 0, **learned, **ignored},
        **order,
        "numTraining": n_cases,
        "file_ending": ".png",
        "overwrite_image_reader_writer": NaturalImage2DIO.__name__,
    }


def make_plans(
    workspace: Workspace,
    cases: Sequence[CaseFiles],
    preset: Preset,
    pool: CasePool,
    case_bytes: int,
) -> dict[str, Any]:
    """Plans for the cases as they are now, or those the preset names; writes fingerprint and plans.

    Needs dataset.json in the raw folder. nnU-Net's own pools are avoided: on sets of hundreds they
    cost more than the work.

    Args:
        workspace: The project.
        cases: All cases.
        preset: Decides the plans.
        pool: Reads the cases.
        case_bytes: Memory the largest case takes while it is worked on.

    Raises:
        TrainingError: No case has a labelled pixel; there is no such planner, or its plans have no
            2d configuration; the named plans do not fit.
        SettingsError: There are no plans of the preset's name.
    """
    folder = workspace.preprocessed_dataset
    dataset = read_json(workspace.raw_dataset / "dataset.json")
    fingerprint = _fingerprint(cases, len(dataset["channel_names"]), pool, case_bytes)
    write_json(folder / "dataset_fingerprint.json", fingerprint)
    if preset.plans is not None:
        plans = read_named_plans(find_plans(workspace, preset.plans), fingerprint)
    elif preset.max_image_side is None:
        plans = _plan(workspace, preset, None)  # nnU-Net's, of which nothing is edited
    else:
        side = round(float(np.median(fingerprint["shapes_after_crop"], axis=0).max()))
        label_maps = _some_label_maps(cases, ignored_integer(dataset))
        working = _working_side(preset, label_maps, side)
        plans = _plan(workspace, preset, working)
        plans[working_size.KEY] = to_json(
            WorkingSize, _working_size(label_maps, side, working or side)
        )
    plans["dataset_name"] = workspace.dataset_name
    # Whoever planned it: the arrays lie where the index looks for them.
    plans["configurations"][CONFIGURATION]["data_identifier"] = f"{PLANS_NAME}_{CONFIGURATION}"
    _apply(preset, plans, len(cases))
    write_json(folder / PLANS, plans)
    return plans


def preprocessing_key(plans: dict[str, Any]) -> str:
    """SHA-256 (hex) over what the preprocessed arrays depend on of the plans.

    ``patch_size`` decides how they are cut into chunks on disk. Intensity statistics of the set
    count where a normalisation uses them: no channel name of ``dataset_json`` leads to one, but
    named plans or a user's planner may.
    """
    configuration = plans["configurations"][CONFIGURATION]
    names = (
        "preprocessor_name",
        "spacing",
        "patch_size",
        "normalization_schemes",
        "use_mask_for_norm",
        "resampling_fn_data",
        "resampling_fn_data_kwargs",
        "resampling_fn_seg",
        "resampling_fn_seg_kwargs",
    )
    values = {name: configuration.get(name) for name in names}
    if not _PER_IMAGE.issuperset(configuration["normalization_schemes"]):
        values["intensities"] = plans["foreground_intensity_properties_per_channel"]
    return content_hash([values, plans["transpose_forward"], plans["image_reader_writer"]])


def _channel_names(n_channels: int, channels: Sequence[str]) -> list[str]:
    if not channels:
        return {1: ["grey"], 3: ["R", "G", "B"]}.get(
            n_channels, [f"{i}_channel" for i in range(n_channels)]
        )
    colors = ("",) if n_channels == len(channels) else ("_R", "_G", "_B")
    names = [f"{channel}{color}" for channel in channels for color in colors]
    return [f"{i}_{name}" for i, name in enumerate(names)]


def _fingerprint(
    cases: Sequence[CaseFiles], n_channels: int, pool: CasePool, case_bytes: int
) -> dict[str, Any]:
    work = partial(_analyze, per_case=max(1, _FOREGROUND_SAMPLES // len(cases)))
    found = dict(pool.map(work, cases, case_bytes))
    rows = [found[position] for position in range(len(cases))]
    statistics = {}
    for channel in range(n_channels):
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


def _some_label_maps(cases: Sequence[CaseFiles], ignored: int | None) -> list[LabelMap]:
    """Some cases' label maps, none with ignored pixels: a scribble says nothing of shapes."""
    sample = sorted(cases, key=lambda case: content_hash(case.case_id))[:_RESOLUTION_CASES]
    found: list[LabelMap] = []
    for case in sample:
        n_pixels = sum(label_map.size for label_map in found)
        if n_pixels > _RESOLUTION_PX and len(found) >= _LEAST_RESOLUTION_CASES:
            break
        label_map = read_image(case.label_png)
        if ignored is None or not (label_map == ignored).any():
            found.append(label_map)
    return found


def _working_side(preset: Preset, label_maps: Sequence[LabelMap], side: int) -> int | None:
    """Longest side of the median image to work at, in pixels; None: its own, ``side``.

    Where the classes keep their shapes at less than the most the preset wants, that; where they
    lose them at the most, what keeps them, within the preset's limits. Where no shape is known
    (``_some_label_maps``), the most it wants.
    """
    low, high = preset.min_image_side, preset.max_image_side
    if low is None or high is None or not label_maps:
        return high
    return coarsest_side(label_maps, side, low, preset.max_fine_side or high)


def _working_size(label_maps: Sequence[LabelMap], side: int, working: int) -> WorkingSize:
    scale = min(1.0, working / side)
    kept = mean_kept([kept_dice(label_map, scale) for label_map in label_maps])
    return WorkingSize(side, round(side * scale), {k: round(dice, 4) for k, dice in kept.items()})


def _analyze(case: CaseFiles, per_case: int) -> Any:
    return DatasetFingerprintExtractor.analyze_case(
        [str(path) for path in case.image_pngs], str(case.label_png), NaturalImage2DIO, per_case
    )


def _plan(workspace: Workspace, preset: Preset, max_side: int | None) -> dict[str, Any]:
    base = planner_class(preset.planner)
    planner: Any = type(base.__name__, (_CoarserSpacing, base), {"max_side": max_side})
    target = preset.gpu_memory_gb
    memory = {} if target is None else {"gpu_memory_target_in_gb": target}
    # The planner merges into plans that are already there.
    (workspace.preprocessed_dataset / f"{PLANS_NAME}.json").unlink(missing_ok=True)
    with (
        project_roots(workspace),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        # The residual encoder planners warn of any other target than their own.
        warnings.simplefilter("ignore", UserWarning)
        plans: dict[str, Any] = planner(
            workspace.dataset_name, plans_name=PLANS_NAME, **memory
        ).plan_experiment()
    if CONFIGURATION not in plans["configurations"]:
        raise TrainingError(
            f"The planner {preset.planner!r} has made no configuration {CONFIGURATION!r}, only "
            f"{', '.join(plans['configurations'])}.",
            remedy="Name a planner that plans for images.",
        )
    return plans


class _CoarserSpacing:
    """Before a planner in the bases of a class: the coarser spacing a preset may ask for."""

    max_side: int | None
    dataset_fingerprint: dict[str, Any]

    def determine_fullres_target_spacing(self) -> Any:
        spacing = super().determine_fullres_target_spacing()  # type: ignore[misc]
        shape = np.median(self.dataset_fingerprint["shapes_after_crop"], axis=0)
        if self.max_side is not None and shape.max() > self.max_side:
            spacing = spacing.astype(np.float64)
            spacing[1:] *= shape.max() / self.max_side
        return spacing


def _apply(preset: Preset, plans: dict[str, Any], n_cases: int) -> None:
    configuration = plans["configurations"][CONFIGURATION]
    if preset.batch_size is not None:
        configuration["batch_size"] = preset.batch_size
    if preset.fast_export:
        configuration.update(_FAST_EXPORT)
    if preset.network == "pretrained":
        _set_pretrained(configuration, preset)
    elif preset.features_per_stage is not None:
        _set_architecture(configuration, preset.features_per_stage, preset.n_conv_per_stage or 2)
    if preset.max_patch_side is not None:
        strides = np.array(configuration["architecture"]["arch_kwargs"]["strides"])
        configuration["patch_size"] = [
            _patch_side(side, preset.max_patch_side, int(divisor))
            for side, divisor in zip(
                configuration["median_image_size_in_voxels"], strides.prod(axis=0), strict=True
            )
        ]
    if preset.batch_size is None and preset.batch_pixels is not None:
        pixels = math.prod(configuration["patch_size"])
        configuration["batch_size"] = max(2, round(preset.batch_pixels / pixels))
    elif preset.batch_size is None and preset.min_batch_pixels is not None:
        pixels = math.prod(configuration["patch_size"])
        # Never more patches than cases: they would be the same ones again.
        least = min(round(preset.min_batch_pixels / pixels), n_cases)
        configuration["batch_size"] = max(configuration["batch_size"], least)


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


def _set_pretrained(configuration: dict[str, Any], preset: Preset) -> None:
    stages = len(STRIDES)
    (first,) = preset.features_per_stage or (16,)
    configuration["architecture"] = {
        "network_class_name": NETWORK,
        "arch_kwargs": {
            "first_features": first,
            "n_conv_per_stage_decoder": [preset.n_conv_per_stage or 1] * (stages - 1),
            "strides": [list(pair) for pair in STRIDES],
        },
        "_kw_requires_import": [],
    }


def _patch_side(median_side: float, max_side: int, divisor: int) -> int:
    # The network halves the patch once per stage: round up to what divides, within the cap.
    cap = max(divisor, max_side // divisor * divisor)
    return min(cap, max(2 * divisor, math.ceil(median_side / divisor) * divisor))

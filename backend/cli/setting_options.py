"""Options that set a project setting: of `nnloop connect` for good, of `nnloop train` for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.settings import ProjectSettings

# Headings in the help.
START = "When training starts"
TRAINING = "Training"
VERSIONS = "Versions"
TRUTH = "Images and annotations"
PREDICTIONS = "Predictions"

PRESETS = "tiny, fast, full, or auto: fast on a GPU, tiny on a CPU."
N_FOLDS = "Number of folds, 2 to 20."


def setting(
    name: str, text: str, panel: str, *names: str, empty: str = "", metavar: str | None = None
) -> Any:
    """An option of `nnloop connect`, which says the default of its setting.

    Args:
        name: Field of ProjectSettings.
        text: The help.
        panel: Heading over it.
        names: Of the option, where it is not called like the parameter.
        empty: What the setting is by default where it has no value.
        metavar: What people write after it.

    Returns:
        As ``typer.Option``.
    """
    value = ProjectSettings.model_fields[name].default
    said = empty if value in (None, (), "") else f"{value:g}" if isinstance(value, float) else value
    help_ = f"{text} \\[default: {said}]"
    return typer.Option(*names, help=help_, rich_help_panel=panel, metavar=metavar)


def _absolute(plans: str | None) -> str | None:
    """The whole path where a file is meant: a worker has another working folder."""
    if plans and ("/" in plans or plans.endswith(".json")) and Path(plans).is_file():
        return str(Path(plans).resolve())
    return plans


Trainer = Annotated[
    str | None,
    typer.Option(
        help="nnU-Net trainer, or package.module:Class; '' for the preset's.",
        rich_help_panel=TRAINING,
    ),
]
Planner = Annotated[
    str | None,
    typer.Option(
        help="nnU-Net planner, as nnUNetPlannerResEncM; '' for the preset's.",
        rich_help_panel=TRAINING,
    ),
]
Plans = Annotated[
    str | None,
    typer.Option(
        help="A plans.json, or plans by their name; '' to plan.",
        callback=_absolute,
        rich_help_panel=TRAINING,
    ),
]
GpuMemory = Annotated[
    float | None,
    typer.Option("--gpu-memory", help="GPU memory to plan for, in GB.", rich_help_panel=TRAINING),
]

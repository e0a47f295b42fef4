"""Trainer and planner classes by their name, without nnU-Net's own lookup.

nnU-Net finds a class by importing every module below a package, one of which needs a torchvision
that fits torch exactly. Here only the module whose source defines the class is imported.
"""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
    ExperimentPlanner,
)

from domain.errors import TrainingError
from training.nnunet.base_trainer import nnUNetTrainer
from training.nnunet.learning.preset_trainer import PresetTrainer
from training.presets import OWN_TRAINER

_TRAINERS = "nnunetv2.training.nnUNetTrainer"
_PLANNERS = "nnunetv2.experiment_planning.experiment_planners"


def trainer_class(name: str) -> type[Any]:
    """A subclass of nnU-Net's ``nnUNetTrainer``.

    Args:
        name: ``PresetTrainer``, the name of a trainer of the installed nnU-Net
            (``nnUNetTrainer_500epochs``), or ``package.module:Class``.

    Raises:
        TrainingError: There is none of this name, it can't be imported, or it is no trainer.
    """
    if name == OWN_TRAINER:
        return PresetTrainer
    return _find("trainer", name, _TRAINERS, nnUNetTrainer)


def planner_class(name: str) -> type[Any]:
    """A subclass of nnU-Net's ``ExperimentPlanner``, named as for ``trainer_class``.

    Raises:
        TrainingError: There is none of this name, it can't be imported, or it is no planner.
    """
    return _find("planner", name, _PLANNERS, ExperimentPlanner)


def _find(kind: str, name: str, package: str, base: type[Any]) -> type[Any]:
    module, colon, class_name = name.rpartition(":")
    if not colon:
        module = _defining_module(package, class_name) if class_name.isidentifier() else ""
    if not module:
        raise TrainingError(
            f"There is no {kind} {name!r} in the installed nnU-Net.",
            remedy=f"Name one that it has ({base.__name__}, say), or your own as "
            "package.module:Class.",
        )
    try:
        found = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError, RuntimeError, TypeError) as error:
        # RuntimeError: torchvision's, where it does not fit torch.
        raise TrainingError(
            f"The {kind} {name!r} can't be imported: {type(error).__name__}: {error}",
            remedy="Install what it needs, or name another.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise TrainingError(
            f"{name!r} is no {kind}: it does not derive from {base.__name__}.",
            remedy=f"Derive it from nnU-Net's {base.__name__}, or name another.",
        )
    return found


def _defining_module(package: str, class_name: str) -> str:
    """Dotted name of the module below ``package`` that defines the class; empty when none does."""
    spec = find_spec(package)
    definition = re.compile(rf"^class {class_name}\b", re.MULTILINE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).rglob("*.py")):
            if definition.search(path.read_text(encoding="utf-8")):
                parts = path.relative_to(folder).with_suffix("").parts
                return ".".join((package, *parts))
    return ""

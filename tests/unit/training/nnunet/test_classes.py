from __future__ import annotations

import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
    ExperimentPlanner,
)
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from domain.errors import TrainingError
from training.nnunet.classes import planner_class, trainer_class
from training.nnunet.learning.preset_trainer import PresetTrainer
from training.presets import PRESETS


class OwnTrainer(nnUNetTrainer):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(
    "name",
    ["nnUNetTrainer", "nnUNetTrainer_500epochs", "nnUNetTrainerNoMirroring", "nnUNetTrainerBN"],
)
def test_nnunets_trainers_by_name(name: str) -> None:
    found = trainer_class(name)
    assert found.__name__ == name
    assert issubclass(found, nnUNetTrainer)


def test_ones_own_by_module() -> None:
    assert trainer_class(f"{__name__}:OwnTrainer").__name__ == "OwnTrainer"


@pytest.mark.parametrize("name", ["ExperimentPlanner", "nnUNetPlannerResEncM", "ResEncUNetPlanner"])
def test_planners(name: str) -> None:
    found = planner_class(name)
    assert found.__name__ == name
    assert issubclass(found, ExperimentPlanner)


def test_every_preset_names_classes_that_exist() -> None:
    for preset in PRESETS.values():
        assert issubclass(trainer_class(preset.trainer), nnUNetTrainer)
        assert issubclass(planner_class(preset.planner), ExperimentPlanner)
    assert trainer_class("PresetTrainer") is PresetTrainer


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nnUNetTrainer_500epoch", "There is no trainer"),  # the start of a name is no name
        ("", "There is no trainer"),
        ("../trainer", "There is no trainer"),
        ("nnUNetPlannerResEncM", "There is no trainer"),  # a planner
        ("no_such_module:Trainer", "ModuleNotFoundError"),
        ("json:Nothing", "AttributeError"),
        ("json:JSONDecoder", "does not derive from nnUNetTrainer"),
        ("json:dumps", "does not derive from nnUNetTrainer"),
    ],
)
def test_what_is_no_trainer_is_refused(name: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        trainer_class(name)
    assert repr(name) in str(caught.value)
    assert caught.value.remedy

from __future__ import annotations

import subprocess
import sys

import pytest

from domain.errors import SettingsError
from training.nnunet_class_names import check_class_name, class_names


def test_direct_and_remote_subclasses_are_found_and_others_are_not() -> None:
    trainers, planners = class_names("trainer"), class_names("planner")
    assert {"nnUNetTrainer", "nnUNetTrainer_500epochs", "nnUNetTrainerNoMirroring"} <= set(trainers)
    assert {"ExperimentPlanner", "nnUNetPlannerResEncM", "nnUNetPlannerResEncXL"} <= set(planners)
    assert not set(trainers) & set(planners)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("trainer", ""),
        ("trainer", "PresetTrainer"),
        ("trainer", "nnUNetTrainer_250epochs"),
        ("trainer", "my_package.trainers:Mine"),
        ("planner", "nnUNetPlannerResEncL"),
    ],
)
def test_usable_names_pass(kind: str, name: str) -> None:
    check_class_name(kind, name)


@pytest.mark.parametrize(
    ("kind", "name", "instead"),
    [
        ("trainer", "nnUNetTrainer_500epoch", "nnUNetTrainer_500epochs"),
        ("trainer", "nnUNetPlannerResEncM", "nnUNetTrainer"),  # a planner
        ("planner", "ResEncM", "nnUNetPlannerResEncM"),
        ("planner", "PresetTrainer", "ExperimentPlanner"),
        ("trainer", "../x:Mine", "nnUNetTrainer"),
    ],
)
def test_others_are_refused_with_what_there_is(kind: str, name: str, instead: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_class_name(kind, name)
    assert repr(name) in str(caught.value)
    assert instead in caught.value.remedy


def test_looking_imports_neither_nnunet_nor_torch() -> None:
    code = (
        "import sys; from training.nnunet_class_names import class_names;"
        "assert class_names('trainer');"
        "sys.exit(any(n in sys.modules for n in ('torch', 'nnunetv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from converters.bookkeeping.documents import from_json, to_json
from domain.errors import SettingsError
from training.presets import (
    FAST,
    FULL,
    PRESETS,
    PRETRAINED,
    TINY,
    Preset,
    PresetChoice,
    choose_preset,
    preset_by_name,
)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_json_round_trip(preset: Preset) -> None:
    assert from_json(Preset, json.loads(json.dumps(to_json(Preset, preset)))) == preset


def test_the_plan_key_ignores_how_long_training_takes() -> None:
    assert dataclasses.replace(TINY, epochs=3, lr=1.0).plan_key == TINY.plan_key
    assert dataclasses.replace(TINY, warm_lr=0.1, bfloat16=False).plan_key == TINY.plan_key
    assert dataclasses.replace(TINY, max_image_side=100).plan_key != TINY.plan_key
    assert dataclasses.replace(TINY, min_image_side=None).plan_key != TINY.plan_key
    assert dataclasses.replace(TINY, batch_pixels=9).plan_key != TINY.plan_key


def test_choice() -> None:
    assert preset_by_name("full") is FULL
    with pytest.raises(SettingsError, match="'huge'"):
        preset_by_name("huge")


def test_auto_looks_at_the_devices_and_at_what_is_installed() -> None:
    assert choose_preset(2).preset is FAST
    assert choose_preset(2, has_weights=False).preset is FAST
    assert choose_preset(0) == PresetChoice(PRETRAINED, "on a CPU")
    missing = choose_preset(0, has_weights=False)
    assert missing.preset is TINY
    assert "not installed" in missing.reason


def test_another_planner_needs_new_plans() -> None:
    assert dataclasses.replace(FULL, planner="nnUNetPlannerResEncM").plan_key != FULL.plan_key
    assert dataclasses.replace(FULL, trainer="nnUNetTrainerBN").plan_key == FULL.plan_key


def test_a_named_planner_or_named_plans_are_not_edited() -> None:
    for preset in (TINY.customized(planner="nnUNetPlannerResEncM"), TINY.customized(plans="large")):
        edits = (preset.max_image_side, preset.max_patch_side, preset.features_per_stage)
        assert edits == (None, None, None)
        assert (preset.batch_size, preset.batch_pixels, preset.fast_export) == (None, None, False)
        assert preset.plan_key != TINY.plan_key
        assert from_json(Preset, json.loads(json.dumps(to_json(Preset, preset)))) == preset


def test_a_named_trainer_leaves_the_plan_alone() -> None:
    preset = TINY.customized(trainer="nnUNetTrainer_5epochs")
    assert preset == dataclasses.replace(TINY, trainer="nnUNetTrainer_5epochs")
    assert TINY.customized() == TINY


def test_memory_to_plan_for_needs_new_plans() -> None:
    preset = FULL.customized(gpu_memory_gb=24)
    assert preset.gpu_memory_gb == 24
    assert preset.plan_key != FULL.plan_key


@pytest.mark.parametrize("other", [{"planner": "ExperimentPlanner"}, {"gpu_memory_gb": 12.0}])
def test_named_plans_are_not_planned(other: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="'large'"):
        FULL.customized(plans="large", **other)

from __future__ import annotations

import dataclasses
import json

import pytest

from domain.errors import SettingsError
from training.presets import FULL, PRESETS, TINY, Preset, choose_preset, preset_by_name


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_json_round_trip(preset: Preset) -> None:
    assert Preset.from_json(json.loads(json.dumps(preset.to_json()))) == preset


def test_the_plan_key_ignores_how_long_training_takes() -> None:
    assert dataclasses.replace(TINY, epochs=3, lr=1.0).plan_key == TINY.plan_key
    assert dataclasses.replace(TINY, max_image_side=100).plan_key != TINY.plan_key


def test_choice() -> None:
    assert choose_preset(0).name == "tiny"
    assert choose_preset(2).name == "fast"
    assert preset_by_name("full") is FULL
    with pytest.raises(SettingsError, match="'huge'"):
        preset_by_name("huge")

from __future__ import annotations

from typing import Any

import pytest

from backend.replay.options import BASELINES, EPOCHS, ReplayOptions
from domain.errors import SettingsError


def test_baselines_are_always_played_and_nothing_twice() -> None:
    options = ReplayOptions(strategies=("lowest_score", "random", "lowest_score"))
    assert options.strategies == (*BASELINES, "lowest_score")


@pytest.mark.parametrize("preset", ["tiny", "pretrained", "fast"])
@pytest.mark.parametrize("steps", [EPOCHS, 7, 100])
def test_every_training_has_the_steps_asked_for(preset: str, steps: int) -> None:
    found = ReplayOptions(preset=preset, steps=steps).training_preset
    assert steps <= found.epochs * found.iterations_per_epoch < steps + found.epochs
    assert found.patience is None and found.budget_s is None
    assert found.name == preset


def test_rules_are_what_a_round_depends_on() -> None:
    one = ReplayOptions(strategies=("bald",), seeds=1)
    assert one.rules() == ReplayOptions().rules()
    assert one.rules() != ReplayOptions(batch=4).rules()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"strategies": ("best",)}, "'best'"),
        ({"preset": "huge"}, "huge"),
        ({"batch": 0}, "--batch"),
        ({"image_side": 8}, "--image-side"),
        ({"folds": 1}, "--folds"),
        ({"steps": 1}, "--steps"),
        ({"test_share": 0.0}, "--test-share"),
        ({"test_share": 1.0}, "--test-share"),
        ({"test_share": float("nan")}, "--test-share"),
    ],
)
def test_what_can_not_be_played(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        ReplayOptions(**wrong)

"""What is said of a training's length before it trains."""

from __future__ import annotations

from backend.from_files.networks.drive import _expected
from training.presets import FAST, FULL, PRETRAINED


def test_how_long_a_training_is_to_take_is_said_before() -> None:
    said = _expected(PRETRAINED, 3, 2, None)
    assert said.startswith("Training 3 folds, 2 at once, with the preset pretrained: 8 epochs each")
    assert "2m to 4m where each has a core to itself" in said and "--budget 30m" in said
    assert "one after the other" in _expected(PRETRAINED, 3, 1, None)
    assert "6m at most" in _expected(FAST, 3, 1, 360.0)
    full = _expected(FULL, 5, 1, None)  # nothing is known before of nnU-Net's own length
    assert "1000 epochs each. The first epoch will tell" in full

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.pipeline.basis import warm_predictor
from backend.settings import ProjectSettings, Settings


class Loaded:
    """What is set and asked of a predictor once it is loaded."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found, self.image_bytes = found, 0

    def prove_bfloat16(self, version_dir: Path, score: Any) -> None:
        self._found["proven"] = (version_dir, score(np.full((2, 2, 3, 3), 0.5, np.float32)))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the predictor was loaded with."""
    found: dict[str, Any] = {}

    def load(path: Path, **options: Any) -> Loaded:
        found.update(path=path, **options)
        return Loaded(found)

    monkeypatch.setattr(warm_predictor, "load_cached", load)
    monkeypatch.setattr(warm_predictor, "prediction_device", lambda: "cpu")
    return found


def test_the_preset_and_auto_are_the_defaults(asked: dict[str, Any]) -> None:
    found = warm_predictor.warm_predictor(Settings.load(), ProjectSettings(), Path("v1"))
    assert found.image_bytes == 512 * 2**20
    assert asked == {
        "path": Path("v1"),
        "device": "cpu",
        "mirroring": None,
        "tile_step": None,
        "engine": "auto",
        "max_bytes": 2048 * 2**20,
        # By what ranks the pool: nothing is predicted, and half is sure of that everywhere.
        "proven": (Path("v1"), 0.5),
    }


def test_installation_and_project_choose(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNLOOP_ENGINE", "torch")
    monkeypatch.setenv("NNLOOP_PREDICTOR_MEMORY_MIB", "100")
    monkeypatch.setenv("NNLOOP_IMAGE_MEMORY_MIB", "64")
    project = ProjectSettings(mirror_predict=False, tile_step=0.75)
    found = warm_predictor.warm_predictor(Settings.load(), project, Path("v1"))
    assert found.image_bytes == 64 * 2**20
    # An engine chosen by hand is that engine.
    assert "proven" not in asked
    assert (asked["engine"], asked["max_bytes"]) == ("torch", 100 * 2**20)
    assert (asked["mirroring"], asked["tile_step"]) == (False, 0.75)


def test_the_gate_predicts_as_the_preset_does(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNLOOP_ENGINE", "torch")
    warm_predictor.warm_predictor(Settings.load(), None, Path("v1"))
    assert (asked["engine"], asked["mirroring"], asked["tile_step"]) == ("torch", None, None)

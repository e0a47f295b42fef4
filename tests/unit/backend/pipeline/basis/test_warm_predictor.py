from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.pipeline.basis import warm_predictor
from backend.settings import ProjectSettings, Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the predictor was loaded with."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(
        warm_predictor, "load_cached", lambda path, **options: found.update(path=path, **options)
    )
    monkeypatch.setattr(warm_predictor, "prediction_device", lambda: "cpu")
    return found


def test_the_preset_and_auto_are_the_defaults(asked: dict[str, Any]) -> None:
    warm_predictor.warm_predictor(Settings.load(), ProjectSettings(), Path("v1"))
    assert asked == {
        "path": Path("v1"),
        "device": "cpu",
        "mirroring": None,
        "tile_step": None,
        "engine": "auto",
        "max_bytes": 2048 * 2**20,
    }


def test_installation_and_project_choose(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNLOOP_ENGINE", "torch")
    monkeypatch.setenv("NNLOOP_PREDICTOR_MEMORY_MIB", "100")
    project = ProjectSettings(mirror_predict=False, tile_step=0.75)
    warm_predictor.warm_predictor(Settings.load(), project, Path("v1"))
    assert (asked["engine"], asked["max_bytes"]) == ("torch", 100 * 2**20)
    assert (asked["mirroring"], asked["tile_step"]) == (False, 0.75)


def test_the_gate_predicts_as_the_preset_does(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNLOOP_ENGINE", "torch")
    warm_predictor.warm_predictor(Settings.load(), None, Path("v1"))
    assert (asked["engine"], asked["mirroring"], asked["tile_step"]) == ("torch", None, None)

from __future__ import annotations

from pathlib import Path

import pytest

from backend.pipeline.gate import judge_run
from tests.unit.backend.pipeline.gate.judging import FakePredictor


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    fake = FakePredictor()
    monkeypatch.setattr(judge_run, "warm_predictor", lambda *_args: fake)
    monkeypatch.setattr(judge_run, "package_version", lambda *_args, **_more: Path("/models/v"))
    monkeypatch.setattr(judge_run, "prune_quietly", lambda *_args: None)
    return fake

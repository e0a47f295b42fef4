"""Fixtures of the tests of labels."""

from __future__ import annotations

import pytest

from backend.pipeline.predictions import score
from tests.unit.backend.pipeline.predictions.test_score import FakePredictor


@pytest.fixture
def _networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "warm_predictor", lambda *_: FakePredictor())

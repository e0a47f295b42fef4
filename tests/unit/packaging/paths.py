"""Where the files under test are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("domain", "converters", "training", "active_learning", "backend")

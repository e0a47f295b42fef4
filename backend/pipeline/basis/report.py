"""The base of what is said of projects, runs and versions: to a person, or as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Report(BaseModel):
    """Values that never change."""

    model_config = ConfigDict(frozen=True)

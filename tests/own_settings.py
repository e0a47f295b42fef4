"""Who tests where nnloop is used has its store, Redis and key in the environment or in a file."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from backend.settings import Settings
from backend.settings.option import environment_of

NICENESS = "NNLOOP_TRAINING_NICENESS"
"""The one setting that may be chosen for all tests."""


def leave_out_settings(environment: MutableMapping[str, str]) -> None:
    """Takes an installation's settings out of an environment, and names a file that has none."""
    for field in Settings.model_fields.values():
        for name in environment_of(field):
            if name != NICENESS:
                environment.pop(name, None)
    environment["NNLOOP_CONFIG"] = str(Path(__file__).with_name("no_settings.toml"))

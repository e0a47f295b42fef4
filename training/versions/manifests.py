"""What a version was trained on, as the store and manifest.json keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from domain.case import Manifest
from training.presets import Preset
from training.symmetries.symmetries import FREE, Symmetries


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest(Manifest):
    """What a run trains on, and how.

    Attributes:
        preset: All of it as it was when the run began; a later release may change its own.
        replanned: Why plans were made although there were some; "" when they stayed.
        symmetries: Flips and turns that its images bear.
        form: Of this document.
    """

    preset: Preset
    replanned: str = ""
    symmetries: Symmetries = FREE
    form: Literal[1] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleManifest(Manifest):
    """What the members of an ensemble were trained on, in folds of the ensemble.

    Attributes:
        group_key: The setting that explains the groups.
        members: Version -> digest of its own manifest; "" when it was trained elsewhere.
        form: Of this document.
    """

    group_key: str | None
    members: dict[str, str]
    form: Literal[1] = 1

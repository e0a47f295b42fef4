"""WorkingSize: how much smaller images are when a network sees them, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.bookkeeping.documents import from_json
from converters.bookkeeping.files import read_json
from domain.errors import DocumentError
from training.versions.version_folder import PLANS

KEY = "nnloop_working_size"
"""Where it stands in plans.json; nnU-Net reads over it."""


@dataclass(frozen=True, slots=True)
class WorkingSize:
    """What plans made of the images, measured on label maps when they were made.

    Attributes:
        side: Longest side of the median image, in pixels.
        working_side: The same as the network sees it.
        kept: Class integer -> mean Dice that its label maps keep with themselves when they are
            brought to that size and back, in [0, 1]: the most that any network can reach there.
    """

    side: int
    working_side: int
    kept: dict[int, float]

    @classmethod
    def of_plans(cls, plans: Mapping[str, Any]) -> WorkingSize | None:
        """What plans.json says of it; None where plans were made elsewhere.

        Raises:
            DocumentError: It says something else.
        """
        return from_json(cls, plans[KEY]) if KEY in plans else None

    @classmethod
    def of_version(cls, version_dir: Path) -> WorkingSize | None:
        """What a version's plans say of it; None where they say nothing, or are not there."""
        try:
            return cls.of_plans(read_json(version_dir / PLANS))
        except (OSError, ValueError, DocumentError):
            return None  # an ensemble has no plans of its own; a folder may be gone

    @property
    def most(self) -> float:
        """The most that the mean Dice of an image's classes can reach, in [0, 1]."""
        return sum(self.kept.values()) / len(self.kept) if self.kept else 1.0

"""What a person chooses about the demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_SEED = 20240229
"""The demo's seed; any other makes another set of images."""

N_DEMO_IMAGES = 48
"""Images in the demo's project: four rounds over ``ultrasound.KINDS``."""


REPORT_DIR = "demo-report"
"""Where the page on the demo's project goes: the folder of the data is removed at the end."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demo runs.

    ``data_dir`` None: a temporary folder, removed at the end. ``versions`` is 1 or 2. ``budget_s``
    is what each training may take. ``picture`` is a PNG to write, ``report`` the folder of the
    page on the project.
    """

    data_dir: Path | None = None
    report: Path = Path(REPORT_DIR)
    images: int = N_DEMO_IMAGES
    seed: int = DEFAULT_SEED
    once: bool = False
    versions: int = 2
    budget_s: float | None = None
    picture: Path | None = None

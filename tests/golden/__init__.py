"""Bodies that Label Studio sends; README.md beside this file says which were recorded, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parent / "recorded"


def recorded(name: str) -> Any:
    """A recording, as ``python -m tests.record`` has written it; ``name`` as in its folder."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))

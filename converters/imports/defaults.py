"""What holds where a person chooses nothing about an import."""

from __future__ import annotations

DEFAULT_VERSION = "imported"
"""The version that imported predictions are of."""

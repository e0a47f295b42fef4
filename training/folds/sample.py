"""The held-out cases of a fold that are looked at while it trains: always the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SAMPLE_SIZE = 8
"""Cases measured during training, at most: enough to see a trend, few enough to see it often."""


def in_fixed_order(case_ids: Iterable[str]) -> list[str]:
    """Cases by hashes of their ids: an order that says nothing, and that others do not change."""
    return sorted(case_ids, key=lambda name: hashlib.sha256(name.encode()).digest())


def sample_of(case_ids: Iterable[str]) -> tuple[str, ...]:
    """At most ``SAMPLE_SIZE`` of a fold's held-out cases."""
    return tuple(in_fixed_order(case_ids)[:SAMPLE_SIZE])

"""AnnotatorPolicy: which annotations of a task count."""

from __future__ import annotations

from typing import Literal, get_args

AnnotatorPolicy = Literal["latest", "ground_truth_first", "union", "majority", "staple"]
"""Which annotations of a task count. ``latest``: the newest. ``ground_truth_first``: the newest
that is marked as ground truth, else the newest. The others combine all of them pixel by pixel."""

POLICIES: tuple[AnnotatorPolicy, ...] = get_args(AnnotatorPolicy)

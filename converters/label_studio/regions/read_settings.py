"""How regions become shapes and label maps: nnloop's rules, and what a project may choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DRAWING_RULES = 6
"""Counts the rules by which regions become label maps: another number, other pixels. What was drawn
by an earlier rule is drawn anew."""


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How regions are read where Label Studio leaves it open.

    ``keypoint``: a keypoint is a disc of its width, or left out. ``line_width_px``: width of open
    vectors. ``priority``: class names, the first on top; the other classes lie below these, later
    regions over earlier ones. What a person drew lies over what was left as predicted all the same.
    """

    keypoint: Literal["disc", "leave_out"] = "disc"
    line_width_px: float = 3.0
    priority: tuple[str, ...] = field(default=())

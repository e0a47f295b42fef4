"""How far drawn borders may differ from traced ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Simplification:
    """Limits on simplified regions.

    A region gets the fewest vertices with which its pixels overlap by ``iou_target`` (intersection
    over union, 0..1) with the exact ones and no traced point is farther than ``tolerance_px`` from
    its border; ``tolerance_px=0`` keeps every traced corner. A region with more vertices than
    ``vertex_budget`` (over all rings) may go down to ``iou_floor``, and never below: where that is
    not enough the budget gives way. Holes that no other region fills keep ``iou_floor`` as well.
    """

    tolerance_px: float = 2.0
    iou_target: float = 0.99
    iou_floor: float = 0.97
    vertex_budget: int = 200

    def __post_init__(self) -> None:
        if not self.tolerance_px >= 0:
            raise ValueError(f"tolerance_px must be 0 or more, got {self.tolerance_px}.")
        for name in ("iou_target", "iou_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if self.vertex_budget < 3:
            raise ValueError(f"vertex_budget must be 3 or more, got {self.vertex_budget}.")

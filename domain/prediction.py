"""What a model says about a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from domain.annotation import Region
from domain.geometry import LabelMap

FoldProbabilities: TypeAlias = npt.NDArray[np.float32]
"""(fold, class, height, width) float32 softmax in [0, 1]; class 0 is background."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A model version's answer for one task.

    ``score`` is the expected quality in [0, 1]; low = label next. ``uncertainty`` holds named
    measures (``fold_disagreement``, ``predictive_entropy``, ...).
    """

    task_id: int
    model_version: str
    label_map: LabelMap
    regions: tuple[Region, ...]
    score: float
    uncertainty: dict[str, float] = field(default_factory=dict)

"""What a model says about an image."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FoldProbabilities: TypeAlias = npt.NDArray[np.float32]
"""(fold, class, height, width) float32 softmax in [0, 1]; class 0 is background."""

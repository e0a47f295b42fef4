"""The simulated annotator of a replay: what correcting a prediction costs, and drawing all of it.

How they correct is ``active_learning.simulated``. Real people do worse: they hesitate, overlook,
disagree, and zoom. And they do better where an editor helps them. So the figures compare strategies
with one another; they are no forecast in hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from active_learning.effort import Effort
from active_learning.simulated.corrector import TIMES, Corrector, effort_of_drawing
from active_learning.simulated.outlines import Outline, outlines_of
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.corrections import changes_between
from converters.outlines.vectorize import vectorize
from domain.geometry import LabelMap

DRAWN_IOU = 0.97
"""How closely a person follows a border: the fewest points with this overlap."""

SMALLEST_PX = 4
"""An object of fewer pixels is not drawn."""

SEEN_DICE = 0.85
"""A region with less overlap in what is seen of it, beside what lies on top, is mended however near
its outline is: a thin wall can be wrong all around. Drawing it reaches about .9."""

# What the product pushes: the defaults of a project.
_PUSHED_IOU, _PUSHED_POINTS = 0.975, 200


@dataclass(frozen=True, slots=True)
class Work:
    """What one image took.

    Attributes:
        corrected: The effort from the prediction to what was submitted; without a prediction, or
            where starting anew is quicker, that of drawing all of it.
        from_scratch: That of drawing all of it.
    """

    corrected: Effort
    from_scratch: Effort

    @property
    def seconds(self) -> float:
        """What correcting took, by ``TIMES``."""
        return TIMES.seconds(self.corrected)

    @property
    def scratch_s(self) -> float:
        """What drawing would have taken."""
        return TIMES.seconds(self.from_scratch)


class Annotator:
    """Someone who knows the truth, and corrects predictions of one interface."""

    def __init__(self, class_values: Sequence[str]) -> None:
        """Takes the classes in integer order, background left out."""
        config = parse_label_config(polygon_label_config(class_values))
        self._corrector = Corrector(config, visible_dice=SEEN_DICE)
        self._classes = range(1, len(class_values) + 1)

    def draw(self, truth: LabelMap) -> Work:
        """Labels an image that comes without a prediction.

        Args:
            truth: (height, width) uint8.
        """
        effort = effort_of_drawing(self._truth(truth))
        return Work(effort, effort)

    def correct(
        self, mean: npt.NDArray[np.float32], truth: LabelMap, rng: np.random.Generator
    ) -> Work:
        """Labels an image that comes with a prediction.

        Args:
            mean: (class, height, width) float32 probabilities in [0, 1], background first: what the
                product makes polygons of.
            truth: (height, width) uint8.
            rng: Makes clicks tremble.
        """
        objects = self._truth(truth)
        from_scratch = effort_of_drawing(objects)
        regions = vectorize(
            mean,
            self._classes,
            iou_target=_PUSHED_IOU,
            iou_floor=min(_PUSHED_IOU, 0.97),
            vertex_budget=_PUSHED_POINTS,
        )
        size_hw = (truth.shape[0], truth.shape[1])
        pushed = self._corrector.pushed(regions, size_hw)
        submitted = self._corrector.submitted(pushed, objects, size_hw, rng, uncovers=True)
        corrected = Effort.of(changes_between([one.entry for one in pushed], submitted))
        # All of it goes with one key.
        anew = from_scratch + Effort(n_removed=1)
        return Work(min(corrected, anew, key=TIMES.seconds), from_scratch)

    def _truth(self, truth: LabelMap) -> list[Outline]:
        regions = vectorize(
            truth,
            self._classes,
            tolerance_px=max(truth.shape) / 2,
            iou_target=DRAWN_IOU,
            iou_floor=DRAWN_IOU,
            min_area_px=SMALLEST_PX,
        )
        return outlines_of(regions)

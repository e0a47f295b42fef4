"""Classes of a version: which are found well, and which are not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backend.report.charts.figure import BLUE, as_text, chart, plain
from backend.report.figures import ClassFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_IN, _AXIS_IN = 0.21, 0.75
_NAME_LENGTH = 24
_NINE_TENTHS = 1.645
"""Standard errors on each side that hold 9 of 10 values of a normal distribution."""


def draw_classes(classes: Sequence[ClassFigures]) -> str:
    """The chart as a ``data:`` URI: a row for each class, in the order given; hollow of one image.

    Args:
        classes: Whose Dice is known; one at least.
    """
    dice = np.array([np.nan if one.dice is None else one.dice for one in classes])
    errors = np.array([_NINE_TENTHS * (one.standard_error or 0.0) for one in classes])
    places = np.arange(len(classes))

    def draw(axes: Axes) -> None:
        as_text()
        low, high = np.minimum(errors, dice), np.minimum(errors, 1.0 - dice)
        is_single = np.array([one.standard_error is None for one in classes])
        axes.errorbar(
            np.where(is_single, np.nan, dice),
            places,
            xerr=np.maximum([low, high], 0.0),
            fmt="o",
            color=BLUE,
            elinewidth=1.2,
        )
        axes.plot(dice[is_single], places[is_single], "o", color=BLUE, markerfacecolor="white")
        axes.set_yticks(places, [plain(one.name, _NAME_LENGTH) for one in classes])
        axes.set_ylim(len(classes) - 0.4, -0.6)
        axes.set_xlim(0.0, 1.02)
        axes.set_xlabel("mean Dice")
        axes.tick_params(axis="y", length=0)

    with warnings.catch_warnings():
        # Its font need not have the letters: the reader's has.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        return chart(draw, _AXIS_IN + _ROW_IN * len(classes))

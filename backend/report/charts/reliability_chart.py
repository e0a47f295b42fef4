"""Reliability: what scores expected against what was true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backend.pipeline.quality.calibrate import CORRECTED, HELD_OUT, ScorePair
from backend.report.charts.figure import BLUE, GREY, ORANGE, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = {HELD_OUT: (BLUE, "o"), CORRECTED: (ORANGE, "D")}
_PER_BIN, _MOST_BINS, _MOST_POINTS = 10, 8, 400


def draw_reliability(pairs: Mapping[str, Sequence[ScorePair]]) -> str:
    """The chart as a ``data:`` URI: a point for each image, a line of means where they are many.

    Args:
        pairs: By kind; one at least.
    """

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="as expected")
        for kind, some in pairs.items():
            color, marker = _LOOKS[kind]
            expected = np.array([one.expected for one in some])
            true = np.array([one.true for one in some])
            # Evenly over the order: with thousands a chart is a blot, and a page megabytes.
            shown = np.linspace(0, len(some) - 1, min(len(some), _MOST_POINTS)).astype(int)
            axes.scatter(
                expected[shown],
                true[shown],
                s=16,
                color=color,
                marker=marker,
                alpha=0.45,
                linewidths=0,
                label=f"{kind} (n = {len(some)})",
            )
            n_bins = min(len(some) // _PER_BIN, _MOST_BINS)
            if n_bins >= 2:
                bins = np.array_split(np.argsort(expected, kind="stable"), n_bins)
                axes.plot(
                    [expected[part].mean() for part in bins],
                    [true[part].mean() for part in bins],
                    color=color,
                    marker=marker,
                    linewidth=1.5,
                    markersize=5,
                )
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.01)
        axes.set_xlabel("Dice that the score expected")
        axes.set_ylabel("Dice that it turned out to be")
        axes.legend(fontsize="small", loc="upper left", framealpha=0.9)

    return chart(draw, 3.9)

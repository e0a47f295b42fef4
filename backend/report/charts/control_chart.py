"""The control arm: how bad the predictions are that people get, by strategy and by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.pipeline.queues.report import GainReport
from backend.report.charts.figure import BLUE, ORANGE, chart, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_control(gain: GainReport) -> str:
    """The chart as a ``data:`` URI: two bars, that of chance with its 90 % interval."""

    def draw(axes: Axes) -> None:
        names = [f"{plain(gain.strategy)}\n(n = {gain.n})", "chance"]
        values = [gain.strategy_error, gain.control_error]
        low, high = gain.strategy_error - gain.high, gain.strategy_error - gain.low
        axes.barh(names, values, color=[BLUE, ORANGE], height=0.55)
        axes.errorbar(
            [gain.control_error],
            [1],
            xerr=[[max(gain.control_error - low, 0)], [max(high - gain.control_error, 0)]],
            fmt="none",
            color="#17202c",
            capsize=4,
        )
        axes.invert_yaxis()
        axes.set_xlim(0, max(1.08 * max(*values, high), 0.05))
        axes.set_xlabel("to correct per label (1 - Dice, mean)")
        axes.grid(visible=False, axis="y")

    return chart(draw, 1.9)

"""The learning curve: versions against labels, the band, and the control arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from backend.pipeline.progress.learning import Learning
from backend.report.charts.figure import BLUE, GREY, ORANGE, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BESIDE_IN = 0.09
"""Width of a point."""

_MUCH_GROWN = 10
"""Times as many labels as in the beginning."""

_NINE_TENTHS = 1.645
"""Standard errors on each side that hold 9 of 10 values of a normal distribution."""

_FAR = 0.25
"""An interval of few images may end so far below its mean that the curve would be a flat line."""


def draw_learning(learning: Learning, target: float | None) -> str:
    """The chart as a ``data:`` URI.

    Args:
        learning: With its band, and at least one version.
        target: The quality that was set as enough, a line across.
    """

    def draw(axes: Axes) -> None:
        if learning.band:
            labels = [point.labels for point in learning.band]
            axes.fill_between(
                labels,
                [point.quality.low for point in learning.band],
                [point.quality.high for point in learning.band],
                color=BLUE,
                alpha=0.13,
                linewidth=0,
                label="where the curve is, 9 times of 10",
            )
            axes.plot(labels, [p.quality.value for p in learning.band], color=BLUE, linewidth=1.4)
        axes.errorbar(
            [one.labels for one in learning.versions],
            [one.quality for one in learning.versions],
            yerr=[_NINE_TENTHS * one.standard_error for one in learning.versions],
            fmt="o",
            color=BLUE,
            capsize=2,
            elinewidth=0.9,
            markersize=5,
            label=f"versions, on the same {learning.n_cases} held-out images",
        )
        if learning.pool:
            inches = axes.figure.dpi_scale_trans
            means = [point.quality.mean for point in learning.pool]
            axes.errorbar(
                [point.labels for point in learning.pool],
                means,
                yerr=[
                    [m - p.quality.low for m, p in zip(means, learning.pool, strict=True)],
                    [p.quality.high - m for m, p in zip(means, learning.pool, strict=True)],
                ],
                fmt="D",
                # Beside the version that served then, which has as many labels.
                transform=axes.transData + ScaledTranslation(_BESIDE_IN, 0, inches),
                color=ORANGE,
                markerfacecolor="white",
                capsize=3,
                markersize=5,
                label="all images, by tasks that chance drew",
            )
        if target is not None:
            axes.axhline(target, color=GREY, linestyle="--", linewidth=1, label="target")
        axes.set_xlabel("labelled images")
        axes.set_ylabel("mean Dice of an image")
        _scale_labels(axes, learning)
        axes.set_ylim(max(_lowest(learning, target) - 0.08, 0.0), 1.0)
        axes.legend(fontsize="small", loc="lower right", framealpha=0.9)

    return chart(draw, 3.5)


def _scale_labels(axes: Axes, learning: Learning) -> None:
    """Each doubling of labels as wide as the next where they have grown much, so that all show."""
    told = [one.labels for one in learning.versions] + [one.labels for one in learning.pool]
    if max(told) < _MUCH_GROWN * max(min(told), 1):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _lowest(learning: Learning, target: float | None) -> float:
    """The lowest value that has to be seen; the far ends of wide bands have not."""
    found = [one.quality - 2 * one.standard_error for one in learning.versions]
    found += [max(p.quality.low, p.quality.mean - _FAR) for p in learning.pool]
    return min([*found, target if target is not None else 1.0])

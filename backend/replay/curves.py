"""Curves of a replay as a picture: Dice against labels and against hours, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from backend.replay.figures import SHARE_OF_FULL, Band, band
from backend.replay.options import ORACLE, RANDOM
from backend.replay.results import Results
from converters.bookkeeping.files import replace_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours (2008), which people with any colour vision tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
_STYLES = ("-", "--", ":", "-.")
_BASE = {RANDOM: ("#000000", "-"), ORACLE: ("#999999", "--")}
"""Colour and line of those that all others are seen against."""

_INCHES, _DPI = (11.0, 4.6), 110
_SHADE = 0.12


def draw_curves(results: Results, path: Path) -> None:
    """Writes a PNG; not where no strategy was played to the end.

    The line is the mean over the seeds, the band its 95 % interval (``figures.band``).

    Args:
        results: What was played.
        path: Replaced atomically.
    """
    names = list(results.rounds)
    if not names:
        return
    with matplotlib.style.context("default"):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        by_labels, by_hours = figure.subplots(1, 2, sharey=True)
        for name, (color, style) in zip(names, _looks(names), strict=True):
            for axis, curve in (
                (by_labels, results.curve(name)),
                (by_hours, results.effort_curve(name)),
            ):
                _draw(axis, curve, color, style, name)
        if results.targets:
            target = band(list(results.targets.values())).mean
            for axis in (by_labels, by_hours):
                axis.axhline(target, color="#bbbbbb", linewidth=1.0, zorder=0)
            by_labels.annotate(
                f"{SHARE_OF_FULL:.0%} of all labels' Dice",
                (0.01, target),
                xycoords=("axes fraction", "data"),
                fontsize="x-small",
                va="bottom",
                color="#777777",
            )
        by_labels.set_xlabel("images labelled")
        by_hours.set_xlabel("hours of work (simulated annotator)")
        by_labels.set_ylabel("Dice on the test images")
        for axis in (by_labels, by_hours):
            axis.grid(visible=True, color="#dddddd", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
        by_hours.legend(
            fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )
        replace_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=_DPI))


def _looks(names: Sequence[str]) -> list[tuple[str, str]]:
    """Colour and line of each."""
    found, number = [], 0
    for name in names:
        if name in _BASE:
            found.append(_BASE[name])
            continue
        color = _COLORS[number % len(_COLORS)]
        found.append((color, _STYLES[number // len(_COLORS) % len(_STYLES)]))
        number += 1
    return found


def _draw(
    axis: Axes, curve: Sequence[tuple[float, Band]], color: str, style: str, name: str
) -> None:
    x = [budget for budget, _ in curve]
    label = f"{name} (oracle)" if name == ORACLE else name
    axis.plot(
        x,
        [one.mean for _, one in curve],
        color=color,
        linestyle=style,
        linewidth=1.4,
        marker=".",
        label=label,
    )
    lows, highs = [one.low for _, one in curve], [one.high for _, one in curve]
    if None not in lows and None not in highs:
        axis.fill_between(x, lows, highs, color=color, alpha=_SHADE, linewidth=0)  # type: ignore[arg-type]

"""How all charts look, and how they get into the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import matplotlib
import matplotlib.style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours (2008), which people with any colour vision tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7686"

_TEXT, _GRID = "#17202c", "#dfe4ea"
_WIDTH_IN, _FONT_PT = 5.0, 10
"""At the width of a phone its letters are still as high as small print."""


def chart(draw: Callable[[Axes], None], height_in: float) -> str:
    """A chart as a ``data:`` URI of an SVG, its letters drawn: the same wherever it is seen.

    Args:
        draw: Draws on the axes; what people wrote must pass through ``plain`` before.
        height_in: Of the chart, in inches.
    """
    with (
        matplotlib.style.context("default"),
        matplotlib.rc_context(
            {
                "font.size": _FONT_PT,
                "svg.hashsalt": "nnloop",  # the same figures, the same file
                "text.color": _TEXT,
                "axes.labelcolor": _TEXT,
                "axes.edgecolor": GREY,
                "xtick.color": _TEXT,
                "ytick.color": _TEXT,
            }
        ),
    ):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.grid(visible=True, color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")


def data_uri(content: bytes, media_type: str) -> str:
    """Content that stands in the page itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def as_text() -> None:
    """Letters of the chart that is being drawn stay text, in the fonts of who reads it.

    For names in any script: of drawn letters there are only those that matplotlib's font has.
    Called while drawing; what ``chart`` sets ends with it.
    """
    matplotlib.rcParams["svg.fonttype"] = "none"


def plain(text: str, limit: int = 40) -> str:
    """A text that people wrote, as it can stand in a chart: ``$`` begins no formula there."""
    shown = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return shown.replace("\\", "\\\\").replace("$", r"\$")

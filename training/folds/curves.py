"""Curves of a training run as a picture: loss and Dice against epochs, one column per fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from converters.bookkeeping.files import replace_with
from training.folds.log import read_progress
from training.folds.spec import CURVES, EpochProgress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours (2008), which people with any colour vision tell apart.
_TRAIN, _VALIDATION, _PSEUDO = "#0072B2", "#D55E00", "#999999"
_CLASSES = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_STYLES = ("-", "--", ":")
"""For classes beyond the colours."""

_COLUMN_INCHES, _HEIGHT_INCHES, _DPI = 3.6, 5.4, 110
_LETTER_INCHES = 0.085
_PSEUDO_LABEL = "pseudo Dice"

_DRAWING_SHARE = 0.02
_MIN_WAIT_S = 10.0
"""Between two drawings: at most this share of the time goes into them."""


def draw_curves(progress_by_fold: Mapping[int, Sequence[EpochProgress]], path: Path) -> None:
    """Writes a PNG with the loss (training and validation) above the Dice of every fold.

    The Dice is nnU-Net's pseudo Dice, and the full-image Dice of held-out cases per class at the
    epochs where it was measured. Axes are the same for all folds, epochs start at 1.

    Args:
        progress_by_fold: Fold -> its epochs in order; folds without epochs are left out.
        path: Replaced atomically. Not written when no fold has an epoch.
    """
    folds = {fold: rows for fold, rows in sorted(progress_by_fold.items()) if rows}
    if not folds:
        return
    classes = _classes(folds.values())
    legend_inches = 0.6 + _LETTER_INCHES * max(map(len, (_PSEUDO_LABEL, *classes)))
    # nnU-Net's own plot enlarges the fonts of the whole process (seaborn.set).
    with matplotlib.style.context("default"):
        width = legend_inches + _COLUMN_INCHES * len(folds)
        figure = _figure(folds, classes, (width, _HEIGHT_INCHES))
        replace_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=_DPI))


def _figure(
    folds: Mapping[int, Sequence[EpochProgress]],
    classes: Sequence[str],
    inches: tuple[float, float],
) -> Figure:
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(folds), sharex=True, sharey="row", squeeze=False)
    for column, (fold, rows) in enumerate(folds.items()):
        axes[0, column].set_title(f"fold {fold}", fontsize="medium")
        _draw_loss(axes[0, column], rows)
        _draw_dice(axes[1, column], rows, classes)
        axes[1, column].set_xlabel("epoch")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(integer=True))
        for axis in axes[:, column]:
            axis.grid(visible=True, color="#dddddd", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("Dice")
    axes[1, 0].set_ylim(0, 1)
    for axis in axes[:, -1]:
        axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


class CurvesWriter:
    """Keeps the pictures of a fold and of its run up to date, without costing training much."""

    def __init__(
        self, fold_dir: Path, fold: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Takes the folder of a fold; the run's is the one above."""
        self._fold_dir, self._fold, self._clock = fold_dir, fold, clock
        self._not_before = clock() + _MIN_WAIT_S

    def draw_sometimes(self) -> None:
        """Draws, unless the last drawing was too short a while ago."""
        if self._clock() >= self._not_before:
            self.draw()

    def draw(self) -> None:
        """Draws curves.png of the fold, and of the run with what all its folds have reported."""
        started = self._clock()
        draw_curves({self._fold: read_progress(self._fold_dir)}, self._fold_dir / CURVES)
        draw_run(self._fold_dir.parent)
        took = self._clock() - started
        self._not_before = self._clock() + max(_MIN_WAIT_S, took / _DRAWING_SHARE)


def draw_run(run_dir: Path) -> None:
    """Writes curves.png of a run from the progress its folds have reported so far."""
    progress = {
        int(folder.name.removeprefix("fold_")): read_progress(folder)
        for folder in run_dir.glob("fold_*")
        if folder.name.removeprefix("fold_").isdigit()
    }
    draw_curves(progress, run_dir / CURVES)


def _draw_loss(axis: Axes, rows: Sequence[EpochProgress]) -> None:
    epochs = [row.epoch for row in rows]
    marker = _marker(rows)
    for label, color, values in (
        ("training", _TRAIN, [row.train_loss for row in rows]),
        ("validation", _VALIDATION, [row.val_loss for row in rows]),
    ):
        axis.plot(epochs, values, color=color, linewidth=1.3, marker=marker, label=label)


def _draw_dice(axis: Axes, rows: Sequence[EpochProgress], classes: Sequence[str]) -> None:
    epochs = [row.epoch for row in rows]
    pseudo = [_or_nan(row.dice) for row in rows]
    axis.plot(
        epochs, pseudo, color=_PSEUDO, linewidth=1.0, marker=_marker(rows), label=_PSEUDO_LABEL
    )
    measured = [row for row in rows if row.case_dice]
    for k, name in enumerate(classes):
        axis.plot(
            [row.epoch for row in measured],
            [_or_nan((row.case_dice or {}).get(name)) for row in measured],
            color=_CLASSES[k % len(_CLASSES)],
            linestyle=_STYLES[k // len(_CLASSES) % len(_STYLES)],
            linewidth=1.5,
            marker="o",
            markersize=3,
            label=name,
        )


def _or_nan(value: float | None) -> float:
    # matplotlib leaves a gap there.
    return float("nan") if value is None else value


def _marker(rows: Sequence[EpochProgress]) -> str:
    return "." if len(rows) == 1 else ""


def _classes(folds: Iterable[Sequence[EpochProgress]]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for rows in folds:
        for row in rows:
            names.update(dict.fromkeys(row.case_dice or ()))
    return tuple(names)

"""The section on versions, and on the classes of the one that serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.report.charts.classes_chart import draw_classes
from backend.report.figures import ClassFigures, ReportFigures
from backend.report.section import Block, Picture, Section, Table
from backend.report.sections.words import figure, moment
from domain.states import VersionOrigin
from domain.text import counted

MOST_CLASSES = 20
"""Classes in the table, those found worst; the chart has more."""

MOST_DRAWN = 80
"""Classes in the chart: at one row each it is two screens high."""

_WORTH_A_CHART = 4
"""Fewer classes are seen at once in the table."""


def versions_section(figures: ReportFigures) -> Section:
    """Every version with what was measured of it, and what the gate said."""
    if not figures.versions:
        return Section(
            "versions",
            "Versions",
            missing=f"There is no version yet. Next training: {figures.waiting_for}",
        )
    blocks: list[Block] = []
    if figures.serving is not None and figures.classes:
        blocks += _classes(figures.serving.name, figures.classes)
    older = f" {figures.n_older} older ones are not listed." if figures.n_older else ""
    blocks.append(
        Table(
            "Versions, the newest first; Dice is the mean of the images that the version held "
            f"out itself, n of them.{older}",
            (
                "Version",
                "Labels",
                "Dice per image (held out)",
                "n",
                "Status",
                "Made",
                "What the gate said",
            ),
            [
                (
                    one.name,
                    "-" if one.origin is VersionOrigin.IMPORTED else str(one.labels),
                    figure(one.dice),
                    str(one.n),
                    one.standing,
                    moment(one.created_at),
                    one.gate or "-",
                )
                for one in figures.versions
            ],
            words=(4, 5, 6),
        )
    )
    return Section(
        "versions",
        "Versions",
        [
            "A version serves only when it is not worse than the one before, judged on the same "
            "held-out images. Dice in this table is of other images in each row: compare versions "
            "by the learning curve."
        ],
        blocks,
    )


def _classes(serving: str, classes: Sequence[ClassFigures]) -> Iterable[Block]:
    """The classes, those found worst first; those of which nothing is known last."""
    known = [one for one in classes if one.dice is not None]
    known.sort(key=lambda one: one.dice or 0.0)
    ordered = [*known, *(one for one in classes if one.dice is None)]
    if len(known) >= _WORTH_A_CHART:
        best, drawn = known[-1], known[:MOST_DRAWN]
        hidden = len(known) - len(drawn)
        alone = " Hollow points are of one image." if any(one.n == 1 for one in drawn) else ""
        yield Picture(
            draw_classes(drawn),
            f"Mean Dice of {counted(len(drawn), 'class', 'classes')} of {serving}: "
            f"{figure(known[0].dice, 2)} of {known[0].name} to {figure(best.dice, 2)} of "
            f"{best.name}.",
            f"Classes of {serving}, those found worst first; lines are 90 % intervals of the "
            f"mean.{alone}{f' {hidden} better ones are not drawn.' if hidden else ''}",
        )
    listed = ordered[:MOST_CLASSES]
    hidden = len(ordered) - len(listed)
    yield Table(
        f"Classes of {serving}, which serves: mean Dice over the n held-out images in which the "
        "annotation or the prediction has the class; those found worst first"
        f"{f', {hidden} more are not listed' if hidden else ''}",
        ("Class", "Dice", "n", "Images trained on that show it"),
        [
            (
                one.name,
                figure(one.dice),
                str(one.n),
                "-" if one.n_trained is None else str(one.n_trained),
            )
            for one in listed
        ],
    )
